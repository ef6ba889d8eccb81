mock_provider "google" {}

variables {
  project_id    = "test-project"
  region        = "europe-west1"
  network_id    = "projects/test-project/global/networks/rowmill"
  subnet_id     = "projects/test-project/regions/europe-west1/subnetworks/rowmill"
  store_uri     = "bigtable://test-project/rowmill-test?app_profile=ingest"
  config_bucket = "test-project-rowmill-config"
  pipeline_file = "[event]\n"
  image         = "europe-docker.pkg.dev/test-project/rowmill/rowmill@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  jobs = {
    ingest = {
      args            = ["ingest", "gs://landing/events/", "--allow-none"]
      service_account = "rowmill-ingest@test-project.iam.gserviceaccount.com"
      schedule        = "*/15 * * * *"
      tasks           = 4
    }
    rebuild = {
      args            = ["aggregate", "--rebuild"]
      service_account = "rowmill-aggregate@test-project.iam.gserviceaccount.com"
    }
  }
  machines = {
    worker = { zone = "europe-west1-b", service_account = "rowmill-ingest@test-project.iam.gserviceaccount.com" }
  }
}

run "jobs_by_the_clock_and_by_hand" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_job.this["ingest"].template[0].task_count == 4 && google_cloud_run_v2_job.this["ingest"].template[0].parallelism == 4
    error_message = "all tasks of a job share its work at once"
  }
  assert {
    condition     = google_cloud_run_v2_job.this["ingest"].template[0].template[0].containers[0].args == tolist(["ingest", "gs://landing/events/", "--allow-none", "--log-format", "json", "--format", "json"])
    error_message = "jobs log what alerts read"
  }
  assert {
    condition     = toset([for it in google_cloud_run_v2_job.this["ingest"].template[0].template[0].containers[0].env : "${it.name}=${it.value}"]) == toset(["ROWMILL_CONFIG=/etc/rowmill/rowmill.toml", "ROWMILL_STORE=bigtable://test-project/rowmill-test?app_profile=ingest"])
    error_message = "a job knows its store and its pipeline file"
  }
  assert {
    condition     = google_cloud_run_v2_job.this["ingest"].template[0].template[0].volumes[0].gcs[0].read_only
    error_message = "a job does not change its pipeline file"
  }
  assert {
    condition     = join(" ", keys(google_cloud_scheduler_job.this)) == "ingest"
    error_message = "only what has a schedule is started by the clock"
  }
  assert {
    condition     = google_cloud_scheduler_job.this["ingest"].http_target[0].uri == "https://run.googleapis.com/v2/projects/test-project/locations/europe-west1/jobs/rowmill-ingest:run"
    error_message = "the clock starts the job"
  }
  assert {
    condition     = alltrue([for grant in google_cloud_run_v2_job_iam_member.scheduler : grant.role == "roles/run.invoker"])
    error_message = "the clock may start, and nothing else"
  }
  assert {
    condition     = length(google_storage_bucket_iam_member.config_readers) == 2 && alltrue([for grant in google_storage_bucket_iam_member.config_readers : grant.role == "roles/storage.objectViewer"])
    error_message = "who runs a job reads the pipeline file, and cannot change it"
  }
}

run "machines_are_closed" {
  command = plan

  assert {
    condition     = alltrue([for machine in google_compute_instance.this : length(machine.network_interface[0].access_config) == 0])
    error_message = "no machine has an address outside"
  }
  assert {
    condition     = alltrue([for machine in google_compute_instance.this : machine.metadata["enable-oslogin"] == "TRUE" && machine.metadata["block-project-ssh-keys"] == "TRUE"])
    error_message = "who comes in is a matter of roles, not of keys"
  }
  assert {
    condition     = alltrue([for machine in google_compute_instance.this : machine.shielded_instance_config[0].enable_secure_boot])
    error_message = "machines boot what is signed"
  }
}

run "without_an_image_no_jobs" {
  command = plan
  variables { image = null }

  assert {
    condition     = length(google_cloud_run_v2_job.this) == 0 && length(google_service_account.scheduler) == 1
    error_message = "the first apply has no image yet, but makes the account"
  }
}

run "an_image_is_named_by_digest" {
  command = plan
  variables { image = "europe-docker.pkg.dev/test-project/rowmill/rowmill:latest" }
  expect_failures = [var.image]
}

run "a_job_keeps_nothing_on_its_disk" {
  command = plan
  variables { store_uri = "file:rowmill-data" }
  expect_failures = [var.store_uri]
}

run "the_file_is_no_path" {
  command = plan
  variables { pipeline_file = "rowmill.toml" }
  expect_failures = [var.pipeline_file]
}

run "tasks_are_counted" {
  command = plan
  variables {
    jobs = { ingest = { args = ["ingest"], service_account = "a@b", tasks = 0 } }
  }
  expect_failures = [var.jobs]
}

run "a_schedule_has_five_fields" {
  command = plan
  variables {
    jobs = { ingest = { args = ["ingest"], service_account = "a@b", schedule = "@hourly" } }
  }
  expect_failures = [var.jobs]
}
