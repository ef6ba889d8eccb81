output "emails" {
  description = "The accounts' addresses, by what they are for."
  value       = { for name, account in google_service_account.this : name => account.email }
}

output "workload_identity_provider" {
  description = "What GitHub's workflows name to be let in; null if none are."
  value       = one(google_iam_workload_identity_pool_provider.github[*].name)
}
