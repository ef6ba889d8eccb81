mock_provider "google" {}

variables {
  project_id = "test-project"
  region     = "europe-west1"
}

run "closed_unless_allowed" {
  command = plan

  assert {
    condition     = google_compute_subnetwork.this.private_ip_google_access && google_compute_subnetwork.this.log_config[0].flow_sampling == 0.5
    error_message = "Google is reached privately, and flows are logged"
  }
  assert {
    condition = alltrue([
      for rule in [google_compute_firewall.deny_ingress, google_compute_firewall.deny_egress] :
      one(rule.deny).protocol == "all" && rule.priority == 65534
    ])
    error_message = "what no rule allows is denied, both ways"
  }
  assert {
    condition     = google_compute_firewall.allow_iap_ssh.source_ranges == toset(["35.235.240.0/20"]) && one(google_compute_firewall.allow_iap_ssh.allow).ports == tolist(["22"])
    error_message = "SSH comes through the Identity-Aware Proxy alone"
  }
  assert {
    condition     = google_compute_firewall.allow_health_checks.source_ranges == toset(["130.211.0.0/22", "35.191.0.0/16"])
    error_message = "health checks come from Google alone"
  }
  assert {
    condition = alltrue([
      for rule in [google_compute_firewall.allow_iap_ssh, google_compute_firewall.allow_health_checks] :
      length(rule.target_tags) == 1 && !contains(rule.source_ranges, "0.0.0.0/0")
    ])
    error_message = "nothing is open to the world, and nothing by default"
  }
  assert {
    condition     = one(google_compute_firewall.allow_egress.allow).ports == tolist(["443", "80"])
    error_message = "out goes what is needed"
  }
  assert {
    condition     = google_compute_router_nat.this.source_subnetwork_ip_ranges_to_nat == "LIST_OF_SUBNETWORKS"
    error_message = "NAT serves this subnet alone"
  }
}

run "a_public_range_is_refused" {
  command = plan
  variables { subnet_cidr = "8.8.8.0/24" }
  expect_failures = [var.subnet_cidr]
}

run "a_huge_range_is_refused" {
  command = plan
  variables { subnet_cidr = "10.0.0.0/8" }
  expect_failures = [var.subnet_cidr]
}

run "a_zone_is_no_region" {
  command = plan
  variables { region = "europe-west1-b" }
  expect_failures = [var.region]
}
