locals {
  # How BigQuery reads what the binary writes: numbers as HBase writes them, times as microseconds.
  types = {
    string    = { type = "STRING", encoding = "TEXT" }
    json      = { type = "STRING", encoding = "TEXT" }
    int       = { type = "INTEGER", encoding = "BINARY" }
    timestamp = { type = "INTEGER", encoding = "BINARY" }
    float     = { type = "FLOAT", encoding = "BINARY" }
    bool      = { type = "BOOLEAN", encoding = "BINARY" }
  }
  instance_uri = "https://googleapis.com/bigtable/projects/${var.project_id}/instances/${var.instance_name}/appProfiles/${var.app_profile}"
  grants       = { for pair in setproduct(keys(var.columns), var.readers) : "${pair[0]}/${pair[1]}" => { table = pair[0], member = pair[1] } }
}

resource "google_bigquery_dataset" "this" {
  project     = var.project_id
  dataset_id  = var.dataset_id
  location    = var.location
  description = "Bigtable's tables, as they are when asked."

  dynamic "default_encryption_configuration" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      kms_key_name = default_encryption_configuration.value
    }
  }
}

resource "google_bigquery_table" "this" {
  for_each = var.columns

  project             = var.project_id
  dataset_id          = google_bigquery_dataset.this.dataset_id
  table_id            = each.key
  deletion_protection = var.deletion_protection

  external_data_configuration {
    autodetect    = false
    source_format = "BIGTABLE"
    source_uris   = ["${local.instance_uri}/tables/${each.key}"]

    bigtable_options {
      read_rowkey_as_string              = true
      ignore_unspecified_column_families = true

      dynamic "column_family" {
        for_each = each.value
        content {
          family_id        = column_family.key
          only_read_latest = true

          dynamic "column" {
            for_each = column_family.value
            content {
              qualifier_string = column.key
              only_read_latest = true
              type             = local.types[column.value].type
              encoding         = local.types[column.value].encoding
            }
          }
        }
      }
    }
  }
}

resource "google_bigquery_dataset_iam_member" "readers" {
  for_each = var.readers

  project    = var.project_id
  dataset_id = google_bigquery_dataset.this.dataset_id
  role       = "roles/bigquery.dataViewer"
  member     = each.key
}

# An external table is read with the rights of who asks.
resource "google_bigtable_table_iam_member" "readers" {
  for_each = local.grants

  project       = var.project_id
  instance_name = var.instance_name
  table         = each.value.table
  role          = "roles/bigtable.reader"
  member        = each.value.member
}
