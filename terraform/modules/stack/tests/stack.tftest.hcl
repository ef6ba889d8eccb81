mock_provider "google" {}

variables {
  project_id     = "test-project"
  project_number = "123456789012"
  environment    = "staging"
  region         = "europe-west1"
  clusters       = { "rowmill-staging-b" = { zone = "europe-west1-b", nodes = 1 } }
  pipeline_file  = "[event]\n"
  image_digest   = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  schedules      = { ingest = "*/15 * * * *", aggregate = "5-59/15 * * * *" }
  tables = {
    events_fact      = { event_data = { versions_max = 1 } }
    events_timeline  = { event = { versions_max = 1 } }
    events_aggregate = { daily_stats = { versions_max = 1 } }
    dead_letters     = { letter = { versions_max = 1 } }
    pipeline_state   = { state = { versions_max = 1 } }
  }
  columns = { events_fact = { event_data = { song = "string" } } }
}

run "parts_fit" {
  command = plan

  assert {
    condition     = output.store_uri.ingest == "bigtable://test-project/rowmill-staging?app_profile=ingest" && output.landing_uri == "gs://test-project-landing/"
    error_message = "names are those of the environment"
  }
  assert {
    condition     = join(" ", keys(output.jobs)) == "aggregate ingest rebuild"
    error_message = "there is a job for each kind of work"
  }
  assert {
    condition     = length(module.analytics) == 0 && length(output.machines) == 0
    error_message = "what is optional is left out"
  }
}

run "silence_is_told_where_machines_work_too" {
  command = plan

  variables {
    schedules = {}
    machines = {
      one = { zone = "europe-west1-b", account = "ingest" }
      two = { zone = "europe-west1-b", account = "aggregate" }
    }
  }

  assert {
    condition     = local.is_at_work
    error_message = "machines that fall silent are as bad as jobs that do"
  }
}

run "nothing_is_at_work_yet" {
  command = plan
  variables { image_digest = null }

  assert {
    condition     = !local.is_at_work
    error_message = "before there is an image nothing can fall silent"
  }
}

run "whoever_deploys_cannot_grant_in_the_project" {
  command = plan

  assert {
    condition = alltrue([
      for role in local.deploy_roles :
      !can(regex("^roles/(owner|editor|iam\\.(serviceAccountAdmin|serviceAccountKeyAdmin|roleAdmin|workloadIdentityPoolAdmin|securityAdmin)|resourcemanager\\.projectIamAdmin|secretmanager\\.(admin|secretAccessor)|storage\\.(admin|objectAdmin|objectViewer|objectUser)|pubsub\\.admin|bigquery\\.(admin|dataOwner))$", role))
    ])
    error_message = "in the project the deploy account makes no accounts, grants nothing, and reads neither secrets nor what landed: ${join(", ", local.deploy_roles)}"
  }
}

run "everything_that_can_be_has" {
  command = plan

  variables {
    machines  = { one = { zone = "europe-west1-b", account = "aggregate" } }
    analytics = { readers = ["group:analysts@example.com"] }
    kms_key   = "projects/test-project/locations/europe-west1/keyRings/r/cryptoKeys/k"
    slack     = { channel = "#alerts", auth_token = "not-a-token" }
  }

  assert {
    condition     = output.machines["one"].name == "rowmill-staging-one" && length(module.analytics) == 1
    error_message = "machines and BigQuery are there when asked for"
  }
  assert {
    condition     = google_artifact_registry_repository.images.docker_config[0].immutable_tags && google_artifact_registry_repository.images.kms_key_name == var.kms_key
    error_message = "an image that was pushed stays what it is"
  }
}

run "a_machine_runs_as_an_account_there_is" {
  command = plan
  variables {
    machines = { one = { zone = "europe-west1-b", account = "deploy" } }
  }
  expect_failures = [var.machines]
}

run "an_environment_is_one_of_three" {
  command = plan
  variables { environment = "prod" }
  expect_failures = [var.environment]
}

run "a_tag_is_no_digest" {
  command = plan
  variables { image_digest = "latest" }
  expect_failures = [var.image_digest]
}
