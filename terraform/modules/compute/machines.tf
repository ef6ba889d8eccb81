resource "google_compute_instance" "this" {
  for_each = var.machines

  project                   = var.project_id
  name                      = "${var.name}-${each.key}"
  zone                      = each.value.zone
  machine_type              = each.value.machine_type
  description               = "Runs rowmill's units, which Ansible looks after."
  tags                      = sort(var.network_tags)
  labels                    = { role = "rowmill" }
  deletion_protection       = var.deletion_protection
  allow_stopping_for_update = true

  boot_disk {
    kms_key_self_link = var.kms_key
    initialize_params {
      image = var.machine_image
      size  = each.value.disk_gib
      type  = "pd-balanced"
    }
  }

  # No address outside: SSH comes through the Identity-Aware Proxy.
  network_interface {
    network    = var.network_id
    subnetwork = var.subnet_id
  }

  service_account {
    email = each.value.service_account
    # What it may do is a matter of roles.
    scopes = ["cloud-platform"]
  }

  shielded_instance_config {
    enable_secure_boot          = true
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }

  metadata = {
    enable-oslogin         = "TRUE"
    block-project-ssh-keys = "TRUE"
    serial-port-enable     = "FALSE"
  }

  lifecycle {
    # A newer image of the family is for new machines: Ansible keeps these up to date.
    ignore_changes = [boot_disk[0].initialize_params[0].image]
  }
}
