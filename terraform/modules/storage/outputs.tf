output "bucket" {
  description = "Name of the bucket."
  value       = google_storage_bucket.landing.name
}

output "uri" {
  description = "What `rowmill ingest` takes, before a pattern."
  value       = "gs://${google_storage_bucket.landing.name}/"
}
