# The pipeline file, which jobs see as a file and machines get from Ansible.
resource "google_storage_bucket" "config" {
  project                     = var.project_id
  name                        = var.config_bucket
  location                    = upper(var.region)
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.deletion_protection

  versioning {
    enabled = true
  }
  lifecycle_rule {
    condition {
      num_newer_versions = 20
    }
    action {
      type = "Delete"
    }
  }

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      default_kms_key_name = encryption.value
    }
  }
}

resource "google_storage_bucket_object" "pipeline_file" {
  bucket       = google_storage_bucket.config.name
  name         = "rowmill.toml"
  content      = var.pipeline_file
  content_type = "application/toml"
}

resource "google_storage_bucket_iam_member" "config_deployer" {
  count = var.deployer == null ? 0 : 1

  bucket = google_storage_bucket.config.name
  role   = "roles/storage.admin"
  member = "serviceAccount:${var.deployer}"
}

resource "google_storage_bucket_iam_member" "config_readers" {
  for_each = toset(concat([for job in values(var.jobs) : job.service_account], var.planner == null ? [] : [var.planner]))

  bucket = google_storage_bucket.config.name
  role   = "roles/storage.objectViewer"
  member = "serviceAccount:${each.key}"
}
