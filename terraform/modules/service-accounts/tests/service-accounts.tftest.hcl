mock_provider "google" {}

variables {
  project_id    = "test-project"
  instance_name = "rowmill-test"
}

run "least_privilege" {
  command = plan

  assert {
    condition     = toset(keys(google_service_account.this)) == toset(["ingest", "aggregate", "serve", "deploy", "plan"])
    error_message = "one account for each kind of work"
  }
  assert {
    condition     = toset([for grant in google_bigtable_table_iam_member.this : grant.role]) == toset(["roles/bigtable.user", "roles/bigtable.reader"])
    error_message = "no account that works may change tables"
  }
  assert {
    condition     = alltrue([for key, grant in google_bigtable_table_iam_member.this : grant.role == "roles/bigtable.reader" if startswith(key, "serve/")])
    error_message = "who answers queries writes nothing"
  }
  assert {
    condition     = google_bigtable_table_iam_member.this["aggregate/events_fact"].role == "roles/bigtable.reader" && !contains(keys(google_bigtable_table_iam_member.this), "ingest/events_aggregate")
    error_message = "facts are ingest's, and aggregates are not"
  }
  assert {
    condition     = google_project_iam_custom_role.ping.permissions == toset(["bigtable.instances.ping"])
    error_message = "to warm a connection takes one permission"
  }
  assert {
    condition     = length(google_project_iam_member.deploy) == 0 && length(google_iam_workload_identity_pool.github) == 0
    error_message = "nothing in the project unless it is asked for"
  }
}

run "github_without_keys" {
  command = plan

  variables {
    github       = { repository = "rowmill/rowmill", deploy = ["production"], plan = ["production-plan"] }
    deploy_roles = ["roles/compute.networkAdmin"]
  }

  assert {
    condition     = google_iam_workload_identity_pool_provider.github[0].attribute_condition == "assertion.sub == 'repo:rowmill/rowmill:environment:production' || assertion.sub == 'repo:rowmill/rowmill:environment:production-plan'"
    error_message = "tokens of other repositories, and of other environments, are no good"
  }
  assert {
    condition     = length(google_service_account_iam_member.github) == 2 && alltrue([for grant in google_service_account_iam_member.github : grant.role == "roles/iam.workloadIdentityUser"])
    error_message = "workflows of the environment act as the deploy account"
  }
}

run "basic_roles_are_refused" {
  command = plan
  variables { deploy_roles = ["roles/editor"] }
  expect_failures = [var.deploy_roles]
}

run "a_repository_has_an_owner" {
  command = plan
  variables { github = { repository = "rowmill", deploy = ["production"], plan = ["production-plan"] } }
  expect_failures = [var.github]
}

run "whoever_plans_only_reads" {
  command = plan
  variables { plan_roles = ["roles/run.admin"] }
  expect_failures = [var.plan_roles]
}
