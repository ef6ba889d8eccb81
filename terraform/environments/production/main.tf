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
  clusters = {
    "rowmill-production-1" = {
      zone        = "${var.region}-b"
      kms_key     = var.kms_key
      autoscaling = { nodes_min = 2, nodes_max = 10, cpu_target = 50 }
    }
    "rowmill-production-2" = {
      zone        = var.second_zone
      kms_key     = var.second_kms_key
      autoscaling = { nodes_min = 2, nodes_max = 10, cpu_target = 50 }
    }
  }
  tables              = var.tables
  columns             = var.columns
  pipeline_file       = file(var.pipeline_file)
  backup_hours        = 336
  change_streams      = { events_fact = 72 }
  deletion_protection = true
  image_digest        = var.image_digest
  schedules           = { ingest = "*/5 * * * *", aggregate = "2-59/5 * * * *" }
  tasks               = { ingest = 4, aggregate = 8 }
  machines = {
    ingest    = { zone = "${var.region}-b", account = "ingest" }
    aggregate = { zone = "${var.region}-c", account = "aggregate" }
  }
  github_repository = var.github_repository
  slack             = var.slack_channel == null ? null : { channel = var.slack_channel, auth_token = var.slack_auth_token }
  emails            = var.emails
  analytics         = { readers = var.analysts }
  kms_key           = var.kms_key
}
