resource "google_storage_bucket" "landing" {
  project                     = var.project_id
  name                        = var.bucket_name
  location                    = var.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  # A file that was replaced can still be read as it was ingested.
  versioning {
    enabled = true
  }
  soft_delete_policy {
    retention_duration_seconds = 7 * 86400
  }
  lifecycle_rule {
    condition {
      age                   = var.cool_after_days
      matches_storage_class = ["STANDARD"]
    }
    action {
      type          = "SetStorageClass"
      storage_class = "NEARLINE"
    }
  }
  lifecycle_rule {
    condition {
      age = var.delete_after_days
    }
    action {
      type = "Delete"
    }
  }
  lifecycle_rule {
    condition {
      days_since_noncurrent_time = 30
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

resource "google_storage_bucket_iam_member" "readers" {
  for_each = var.readers

  bucket = google_storage_bucket.landing.name
  role   = "roles/storage.objectViewer"
  member = "serviceAccount:${each.key}"
}

resource "google_storage_bucket_iam_member" "writers" {
  for_each = var.writers

  bucket = google_storage_bucket.landing.name
  role   = "roles/storage.objectCreator"
  member = "serviceAccount:${each.key}"
}

resource "google_storage_bucket_iam_member" "deployer" {
  count = var.deployer == null ? 0 : 1

  bucket = google_storage_bucket.landing.name
  role   = "roles/storage.legacyBucketOwner"
  member = "serviceAccount:${var.deployer}"
}
