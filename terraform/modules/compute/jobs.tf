locals {
  jobs      = var.image == null ? {} : var.jobs
  scheduled = { for name, job in local.jobs : name => job if job.schedule != null }
}

resource "google_cloud_run_v2_job" "this" {
  for_each = local.jobs

  project             = var.project_id
  location            = var.region
  name                = "${var.name}-${each.key}"
  deletion_protection = var.deletion_protection

  template {
    task_count  = each.value.tasks
    parallelism = coalesce(each.value.parallelism, each.value.tasks)

    template {
      service_account       = each.value.service_account
      max_retries           = each.value.retries
      timeout               = "${each.value.timeout_seconds}s"
      execution_environment = "EXECUTION_ENVIRONMENT_GEN2"

      containers {
        image = var.image
        # Which shard a task is, Cloud Run says in variables that the binary reads.
        args = concat(each.value.args, ["--log-format", "json", "--format", "json"])

        env {
          name  = "ROWMILL_STORE"
          value = var.store_uri
        }
        env {
          name  = "ROWMILL_CONFIG"
          value = "/etc/rowmill/${google_storage_bucket_object.pipeline_file.name}"
        }
        resources {
          limits = {
            cpu    = tostring(each.value.cpu)
            memory = each.value.memory
          }
        }
        volume_mounts {
          name       = "config"
          mount_path = "/etc/rowmill"
        }
      }
      volumes {
        name = "config"
        gcs {
          bucket    = google_storage_bucket.config.name
          read_only = true
        }
      }
      vpc_access {
        egress = "ALL_TRAFFIC"
        network_interfaces {
          network    = var.network_id
          subnetwork = var.subnet_id
        }
      }
    }
  }

  # A job reads the file when it starts, so it must be allowed to.
  depends_on = [google_storage_bucket_iam_member.config_readers]
}

# Who starts jobs by the clock, and can do nothing else.
resource "google_service_account" "scheduler" {
  # Also before there is an image or a schedule: whoever deploys these may not make accounts.
  count = length(var.jobs) > 0 ? 1 : 0

  project      = var.project_id
  account_id   = "${substr(var.name, 0, 20)}-scheduler"
  display_name = "${var.name} scheduler"
  description  = "Starts the pipeline's jobs by the clock."
}

# Who deploys a schedule must be allowed to act as the account that it runs as.
resource "google_service_account_iam_member" "deployer_acts_as_scheduler" {
  count = var.deployer != null ? length(google_service_account.scheduler) : 0

  service_account_id = google_service_account.scheduler[0].name
  role               = "roles/iam.serviceAccountUser"
  member             = "serviceAccount:${var.deployer}"
}

resource "google_cloud_run_v2_job_iam_member" "scheduler" {
  for_each = local.scheduled

  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_job.this[each.key].name
  role     = "roles/run.invoker"
  member   = "serviceAccount:${google_service_account.scheduler[0].email}"
}

resource "google_cloud_scheduler_job" "this" {
  for_each = local.scheduled

  project          = var.project_id
  region           = var.region
  name             = google_cloud_run_v2_job.this[each.key].name
  description      = "Starts ${each.key}."
  schedule         = each.value.schedule
  time_zone        = "Etc/UTC"
  attempt_deadline = "180s"

  retry_config {
    retry_count          = 3
    min_backoff_duration = "10s"
    max_backoff_duration = "120s"
  }
  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/projects/${var.project_id}/locations/${var.region}/jobs/${google_cloud_run_v2_job.this[each.key].name}:run"

    oauth_token {
      service_account_email = google_service_account.scheduler[0].email
    }
  }
}
