# production: two regions, backups, and nothing that is deleted by mistake.
terraform {
  required_version = ">= 1.9"

  # A bucket of this kind locks the state while somebody writes it. Its name comes with `terraform init -backend-config=bucket=NAME`.
  backend "gcs" {
    prefix = "rowmill/production"
  }
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.50, < 8.0"
    }
  }
}

provider "google" {
  project        = var.project_id
  region         = var.region
  default_labels = { application = "rowmill", environment = "production" }
}

module "rowmill" {
  source = "../../modules/stack"

  project_id     = var.project_id
  project_number = var.project_number
  environment    = "production"
  region         = var.region
  # Either must be able to take over what the other does, so neither is to be busier than a third.
  clusters = {
    "rowmill-production-1" = {
      zone        = "${var.region}-b"
      kms_key     = var.kms_key
      autoscaling = { nodes_min = 2, nodes_max = 10, cpu_target = 30 }
    }
    "rowmill-production-2" = {
      zone        = var.second_zone
      kms_key     = var.second_kms_key
      autoscaling = { nodes_min = 2, nodes_max = 10, cpu_target = 30 }
    }
  }
  tables              = var.tables
  columns             = var.columns
  pipeline_file       = file(var.pipeline_file)
  backup_hours        = 336
  change_streams      = { events_fact = 72 }
  deletion_protection = true
  image_digest        = var.image_digest
  schedules           = var.schedules
  tasks               = { ingest = 4, aggregate = 8 }
  machines            = var.machines
  github_repository   = var.github_repository
  slack               = var.slack_channel == "" ? null : { channel = var.slack_channel, auth_token = var.slack_auth_token }
  emails              = var.emails
  analytics           = { readers = var.analysts }
  kms_key             = var.kms_key
}
