# shellcheck shell=bash disable=SC2154
# Terraform: every module by itself, every environment as a plan, and the plan of production before checkov.

part_terraform() {
    export TF_IN_AUTOMATION=1
    if [[ -d $blocks ]]; then
        export TF_CLI_CONFIG_FILE=$tools/terraformrc TF_DISABLE_PLUGIN_TLS=1 TFSTUB_SCHEMA=$tools/schema.json
    else
        # The real provider wants to be somebody, though nobody is asked for a plan of what does not exist.
        export GOOGLE_OAUTH_ACCESS_TOKEN=none
    fi
    local copy=$work/terraform-tree module environment
    need "terraform is there" terraform_tool || return 0
    step "terraform fmt" terraform fmt -check -diff -recursive "$tree/terraform"
    mkdir -p "$copy"
    cp -r "$tree/terraform" "$tree/scripts" "$tree/examples" "$copy"
    for module in "$copy"/terraform/modules/*/; do
        module=$(basename "$module")
        wanted "terraform validate module $module" "terraform test module $module" || continue
        need "terraform init module $module" in_module init -no-color -input=false || continue
        step "terraform validate module $module" in_module validate -no-color
        step "terraform test module $module" has_tests
    done
    for environment in dev staging production; do
        step "terraform plan $environment" plan
    done
    step "the plan of production makes everything there is" says_what_changes
    step "dashboards of production" dashboards_parse
    step "checkov on production" checkov --file "$work/production.json" --config-file "$tree/terraform/.checkov.yaml" --skip-download
    step "an apply takes only the plan that was approved" applies_what_was_approved
}

in_module() { (cd "$copy/terraform/modules/$module" && terraform "$@"); }

# A module without tests would pass.
has_tests() {
    in_module test -no-color >"$work/terraform-tests" 2>&1
    local status=$?
    cat "$work/terraform-tests"
    ((status == 0)) && grep -q '^Success! [1-9]' "$work/terraform-tests"
}

plan() {
    "$copy/scripts/terraform-plan" "$environment" "$work/$environment.plan" -refresh=false -var-file=check.tfvars &&
        (cd "$copy/terraform/environments/$environment" && terraform show -json "$work/$environment.plan") >"$work/$environment.json"
}

# What reviewers read names every kind of thing that is made.
says_what_changes() {
    [[ -s $work/production.json ]] || environment=production plan || return 1
    python - "$work/production.json" <<'P'
import collections, json, sys
changes = json.load(open(sys.argv[1]))["resource_changes"]
actions = collections.Counter(a for c in changes for a in c["change"]["actions"])
assert set(actions) <= {"create", "read"}, actions
kinds = {c["type"] for c in changes}
for kind in ["bigtable_instance", "bigtable_table", "bigtable_gc_policy", "bigtable_app_profile", "compute_network", "compute_firewall", "pubsub_topic",
             "storage_bucket", "secret_manager_secret", "monitoring_alert_policy", "monitoring_dashboard", "monitoring_notification_channel", "logging_metric",
             "cloud_run_v2_job", "cloud_scheduler_job", "compute_instance", "bigquery_table", "iam_workload_identity_pool_provider"]:
    assert f"google_{kind}" in kinds, f"no {kind} in production"
public = [c["address"] for c in changes if "IAM" in c["type"].upper() and str((c["change"]["after"] or {}).get("member")) in ("allUsers", "allAuthenticatedUsers")]
assert not public, public
print(dict(actions), len(kinds), "kinds")
P
}

# As what Google's interface takes.
dashboards_parse() {
    python - "$work/production.json" <<'P'
import json, sys
from google.cloud.monitoring_dashboard_v1.types import Dashboard
changes = json.load(open(sys.argv[1]))["resource_changes"]
dashboards = [c["change"]["after"]["dashboard_json"] for c in changes if c["type"] == "google_monitoring_dashboard"]
assert dashboards, "no dashboard"
for dashboard in dashboards:
    print(len(Dashboard.from_json(dashboard).mosaic_layout.tiles), "tiles")
P
}

# Terraform is another program here, which only says what it was asked.
applies_what_was_approved() {
    local double=$work/double sum
    mkdir -p "$double"
    printf '#!/bin/sh\necho "$@" >>"%s/asked"\n' "$double" >"$double/terraform"
    chmod +x "$double/terraform"
    echo plan >"$work/a.plan"
    sum=$(sha256sum "$work/a.plan" | cut -d ' ' -f 1)
    export TF_STATE_BUCKET=check-state
    PATH=$double:$PATH "$copy/scripts/terraform-apply" dev "$work/a.plan" "$sum" && grep -q "apply .*$work/a.plan" "$double/asked" || return 1
    echo another >"$work/a.plan"
    rm "$double/asked"
    ! PATH=$double:$PATH "$copy/scripts/terraform-apply" dev "$work/a.plan" "$sum" && [[ ! -e $double/asked ]]
}
