locals {
  # What GitHub's token of a job in an environment of that repository says, and the account that it may act as.
  github_subjects = var.github == null ? {} : {
    for name, account in merge({ for name in var.github.deploy : name => "deploy" }, { for name in var.github.plan : name => "plan" }) :
    "repo:${var.github.repository}:environment:${name}" => account
  }

  accounts = {
    ingest    = "Reads inputs, writes facts, the timeline, dead letters and its own state."
    aggregate = "Reads facts and the timeline, writes aggregates."
    serve     = "Reads, to answer queries."
    deploy    = "Makes and changes what the pipeline runs on."
    plan      = "Reads what there is, to plan what would change."
  }

  # What each account may do with each table, and no more. Aggregating writes the timeline too, to repair it from the facts.
  table_roles = {
    ingest = {
      "roles/bigtable.user" = ["events_fact", "events_timeline", "dead_letters", "pipeline_state"]
    }
    aggregate = {
      "roles/bigtable.user"   = ["events_timeline", "events_aggregate", "pipeline_state"]
      "roles/bigtable.reader" = ["events_fact"]
    }
    serve = {
      "roles/bigtable.reader" = ["events_fact", "events_timeline", "events_aggregate", "dead_letters", "pipeline_state"]
    }
  }
  grants = merge(flatten([
    for account, roles in local.table_roles : [
      for role, tables in roles : {
        for table in tables : "${account}/${table}" => { account = account, role = role, table = table }
      }
    ]
  ])...)
}

resource "google_service_account" "this" {
  for_each = local.accounts

  project      = var.project_id
  account_id   = "${var.prefix}-${each.key}"
  display_name = "${var.prefix} ${each.key}"
  description  = each.value
}

resource "google_bigtable_table_iam_member" "this" {
  for_each = local.grants

  project       = var.project_id
  instance_name = var.instance_name
  table         = each.value.table
  role          = each.value.role
  member        = google_service_account.this[each.value.account].member
}

# A client warms its connections with a call on the instance, which no role for a table allows.
resource "google_project_iam_custom_role" "ping" {
  project     = var.project_id
  role_id     = "${replace(var.prefix, "-", "_")}_ping"
  title       = "${var.prefix}: warm connections to Bigtable"
  description = "Calls PingAndWarm, and reads and writes nothing."
  permissions = ["bigtable.instances.ping"]
}

resource "google_bigtable_instance_iam_member" "ping" {
  for_each = toset(keys(local.table_roles))

  project  = var.project_id
  instance = var.instance_name
  role     = google_project_iam_custom_role.ping.id
  member   = google_service_account.this[each.key].member
}

resource "google_bigtable_instance_iam_member" "deploy" {
  project  = var.project_id
  instance = var.instance_name
  role     = "roles/bigtable.admin"
  member   = google_service_account.this["deploy"].member
}

resource "google_project_iam_member" "deploy" {
  for_each = var.deploy_roles

  project = var.project_id
  role    = each.key
  member  = google_service_account.this["deploy"].member
}

resource "google_project_iam_member" "plan" {
  for_each = var.plan_roles

  project = var.project_id
  role    = each.key
  member  = google_service_account.this["plan"].member
}

# What runs on a machine writes to the log through an agent, as the machine's account.
resource "google_project_iam_member" "logs" {
  for_each = { for pair in setproduct(keys(local.table_roles), ["roles/logging.logWriter", "roles/monitoring.metricWriter"]) : "${pair[0]}/${pair[1]}" => { account = pair[0], role = pair[1] } }

  project = var.project_id
  role    = each.value.role
  member  = google_service_account.this[each.value.account].member
}

# Who deploys a machine or a job that runs as an account must be allowed to act as it, and as no other.
resource "google_service_account_iam_member" "deploy_acts_as" {
  for_each = toset(keys(local.table_roles))

  service_account_id = google_service_account.this[each.key].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.this["deploy"].member
}

# GitHub's workflows show a token of their own, so there is no key to keep.
resource "google_iam_workload_identity_pool" "github" {
  count = var.github == null ? 0 : 1

  project                   = var.project_id
  workload_identity_pool_id = "${var.prefix}-github"
  display_name              = "GitHub, for ${var.prefix}"
}

resource "google_iam_workload_identity_pool_provider" "github" {
  count = var.github == null ? 0 : 1

  project                            = var.project_id
  workload_identity_pool_id          = google_iam_workload_identity_pool.github[0].workload_identity_pool_id
  workload_identity_pool_provider_id = "actions"
  display_name                       = "GitHub Actions"
  attribute_mapping = {
    "google.subject"       = "assertion.sub"
    "attribute.repository" = "assertion.repository"
  }
  # Every repository on GitHub gets its tokens from the same issuer.
  attribute_condition = join(" || ", [for subject, _ in local.github_subjects : "assertion.sub == '${subject}'"])

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }
}

resource "google_service_account_iam_member" "github" {
  for_each = local.github_subjects

  service_account_id = google_service_account.this[each.value].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principal://iam.googleapis.com/${google_iam_workload_identity_pool.github[0].name}/subject/${each.key}"
}
