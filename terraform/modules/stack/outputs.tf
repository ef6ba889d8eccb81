output "store_uri" {
  description = "What `rowmill --store` takes, by app profile."
  value       = module.bigtable.store_uri
}

output "landing_uri" {
  description = "Where files land: what `rowmill ingest` takes, before a pattern."
  value       = module.storage.uri
}

output "topic" {
  description = "Full name of the topic that events are sent to."
  value       = module.pubsub.topic
}

output "service_accounts" {
  description = "Addresses of the accounts, by what they are for."
  value       = module.service_accounts.emails
}

output "workload_identity_provider" {
  description = "What GitHub's workflows name to be let in; null if none are."
  value       = module.service_accounts.workload_identity_provider
}

output "jobs" {
  description = "Full names of the Cloud Run jobs, by name."
  value       = module.compute.jobs
}

output "machines" {
  description = "Names of the machines and their zones, by name."
  value       = module.compute.machines
}

output "registry" {
  description = "What images are called, before their name."
  value       = local.registry
}
