output "instance_name" {
  description = "Name of the instance."
  value       = google_bigtable_instance.this.name
}

output "table_names" {
  description = "Names of the tables."
  value       = sort([for table in google_bigtable_table.this : table.name])
}

output "store_uri" {
  description = "What `rowmill --store` takes, by app profile."
  value = {
    for profile in ["ingest", "serving"] :
    profile => "bigtable://${var.project_id}/${var.instance_name}?app_profile=${profile}"
  }
}
