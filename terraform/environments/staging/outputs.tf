output "rowmill" {
  description = "What whoever uses this environment asks for: addresses, names and URIs."
  value       = module.rowmill
}
