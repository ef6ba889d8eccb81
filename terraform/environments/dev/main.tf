# dev: as small as it gets, and all of it may be thrown away.
terraform {
  required_version = ">= 1.9"

  # A bucket of this kind locks the state while somebody writes it. Its name comes with `terraform init -backend-config=bucket=NAME`.
  backend "gcs" {
    prefix = "rowmill/dev"
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
  default_labels = { application = "rowmill", environment = "dev" }
}

module "rowmill" {
  source = "../../modules/stack"

  project_id          = var.project_id
  project_number      = var.project_number
  environment         = "dev"
  region              = var.region
  clusters            = { "rowmill-dev-b" = { zone = "${var.region}-b", nodes = 1 } }
  tables              = var.tables
  columns             = var.columns
  pipeline_file       = file(var.pipeline_file)
  deletion_protection = false
  image_digest        = var.image_digest
  schedules           = { ingest = "*/15 * * * *", aggregate = "5-59/15 * * * *" }
  github_repository   = var.github_repository
  slack               = var.slack_channel == "" ? null : { channel = var.slack_channel, auth_token = var.slack_auth_token }
  emails              = var.emails
}
