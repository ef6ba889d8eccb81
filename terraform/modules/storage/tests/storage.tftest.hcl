mock_provider "google" {}

variables {
  project_id  = "test-project"
  bucket_name = "rowmill-test-landing"
  location    = "EUROPE-WEST1"
  readers     = ["ingest@test-project.iam.gserviceaccount.com"]
}

run "private_and_kept" {
  command = plan

  assert {
    condition     = google_storage_bucket.landing.uniform_bucket_level_access && google_storage_bucket.landing.public_access_prevention == "enforced" && !google_storage_bucket.landing.force_destroy
    error_message = "nobody reads it by accident, and nobody empties it by destroying it"
  }
  assert {
    condition     = google_storage_bucket.landing.versioning[0].enabled
    error_message = "a file that was replaced is still there"
  }
  assert {
    condition     = google_storage_bucket_iam_member.readers["ingest@test-project.iam.gserviceaccount.com"].role == "roles/storage.objectViewer" && length(google_storage_bucket_iam_member.writers) == 0
    error_message = "who ingests reads, and nobody writes who is not named"
  }
  assert {
    condition     = output.uri == "gs://rowmill-test-landing/"
    error_message = "the URI is what the binary takes"
  }
}

run "writers_only_add" {
  command = plan
  variables { writers = ["source@test-project.iam.gserviceaccount.com"] }
  assert {
    condition     = alltrue([for member in google_storage_bucket_iam_member.writers : member.role == "roles/storage.objectCreator"])
    error_message = "who leaves files replaces none"
  }
}

run "a_short_life_is_refused" {
  command = plan
  variables { delete_after_days = 1 }
  expect_failures = [var.delete_after_days]
}

run "a_bad_name_is_refused" {
  command = plan
  variables { bucket_name = "Landing" }
  expect_failures = [var.bucket_name]
}
