output "emails" {
  description = "The accounts' addresses, by what they are for."
  # Put together, so that they are known before the accounts are made; whoever takes one waits for it all the same.
  value      = { for name, account in google_service_account.this : name => "${account.account_id}@${var.project_id}.iam.gserviceaccount.com" }
  depends_on = [google_service_account.this]
}

output "workload_identity_provider" {
  description = "What GitHub's workflows name to be let in; null if none are."
  value       = one(google_iam_workload_identity_pool_provider.github[*].name)
}
