mock_provider "google" {}

variables {
  project_id = "test-project"
  secrets = {
    slack-webhook = { reader = "aggregate@test-project.iam.gserviceaccount.com" }
    api-token     = { reader = "serve@test-project.iam.gserviceaccount.com" }
  }
}

run "one_reader_each" {
  command = plan

  assert {
    condition     = google_secret_manager_secret_iam_member.reader["slack-webhook"].member == "serviceAccount:aggregate@test-project.iam.gserviceaccount.com" && length(google_secret_manager_secret_iam_member.reader) == 2
    error_message = "each secret has its reader, and no other"
  }
  assert {
    condition     = alltrue([for member in google_secret_manager_secret_iam_member.reader : member.role == "roles/secretmanager.secretAccessor"])
    error_message = "who reads a secret cannot change it"
  }
  assert {
    condition     = alltrue([for secret in google_secret_manager_secret.this : length(secret.replication[0].auto) == 1])
    error_message = "Google decides where they are, unless somebody says so"
  }
}

run "in_regions" {
  command = plan
  variables { locations = ["europe-west1", "europe-west4"] }
  assert {
    condition     = alltrue([for secret in google_secret_manager_secret.this : length(secret.replication[0].user_managed[0].replicas) == 2 && length(secret.replication[0].auto) == 0])
    error_message = "they stay in their regions"
  }
}

run "a_member_is_no_address" {
  command = plan
  variables { secrets = { token = { reader = "allUsers" } } }
  expect_failures = [var.secrets]
}
