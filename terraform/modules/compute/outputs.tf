output "jobs" {
  description = "Full names of the Cloud Run jobs, by name."
  value       = { for name, job in google_cloud_run_v2_job.this : name => job.id }
}

output "machines" {
  description = "Names of the machines and their zones, by name: what Ansible's inventory is made of."
  value       = { for name, machine in google_compute_instance.this : name => { name = machine.name, zone = machine.zone } }
}

output "config_uri" {
  description = "Where the pipeline file is."
  value       = "gs://${google_storage_bucket.config.name}/${google_storage_bucket_object.pipeline_file.name}"
}
