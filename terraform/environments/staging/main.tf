# staging: what production is, with fewer of everything.
terraform {
  required_version = ">= 1.9"

  # A bucket of this kind locks the state while somebody writes it. Its name comes with `terraform init -backend-config=bucket=NAME`.
  backend "gcs" {
    prefix = "rowmill/staging"
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
  default_labels = { application = "rowmill", environment = "staging" }
}

module "rowmill" {
  source = "../../modules/stack"

  project_id     = var.project_id
  project_number = var.project_number
  environment    = "staging"
  region         = var.region
  clusters = {
    "rowmill-staging-b" = { zone = "${var.region}-b", autoscaling = { nodes_min = 1, nodes_max = 3 } }
  }
  tables            = var.tables
  columns           = var.columns
  pipeline_file     = file(var.pipeline_file)
  backup_hours      = 72
  image_digest      = var.image_digest
  schedules         = var.schedules
  tasks             = { ingest = 2, aggregate = 2 }
  machines          = var.machines
  github_repository = var.github_repository
  slack             = var.slack_channel == "" ? null : { channel = var.slack_channel, auth_token = var.slack_auth_token }
  emails            = var.emails
  analytics         = { readers = [] }
}
