output "tables" {
  description = "Full names of the tables, for SQL."
  value       = sort([for table in google_bigquery_table.this : "${var.project_id}.${table.dataset_id}.${table.table_id}"])
}
