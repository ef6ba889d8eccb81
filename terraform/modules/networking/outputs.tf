output "network_id" {
  description = "The network."
  value       = google_compute_network.this.id
}

output "subnet_id" {
  description = "The subnet."
  value       = google_compute_subnetwork.this.id
}

output "ssh_tag" {
  description = "Tag of machines that may be reached by SSH through the Identity-Aware Proxy."
  value       = local.ssh_tag
}

output "health_check_tag" {
  description = "Tag of machines whose health Google may check."
  value       = local.health_check_tag
}
