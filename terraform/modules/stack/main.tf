locals {
  name     = "rowmill-${var.environment}"
  registry = "${var.region}-docker.pkg.dev/${var.project_id}/${local.name}"

  # Whether ingest and aggregate are both done by the clock, here or there.
  jobs_run   = { ingest = var.image_digest != null && var.schedules.ingest != null, aggregate = var.image_digest != null && var.schedules.aggregate != null }
  is_at_work = alltrue([for work, runs in local.jobs_run : runs || contains([for machine in values(var.machines) : machine.account], work)])

  apis = toset([
    "artifactregistry", "bigquery", "bigtable", "bigtableadmin", "cloudscheduler", "compute", "iam", "iamcredentials", "iap", "logging",
    "monitoring", "oslogin", "pubsub", "run", "secretmanager", "storage", "sts",
  ])

  # Of what the deploy account changes day by day. Accounts, roles and grants in the project it only reads: people make those. On what it makes
  # itself, a job or a table, it can grant.
  deploy_roles = toset([
    "roles/artifactregistry.writer",
    "roles/bigquery.dataEditor",
    "roles/cloudscheduler.admin",
    "roles/compute.instanceAdmin.v1",
    "roles/compute.networkAdmin",
    "roles/compute.osAdminLogin",
    "roles/compute.securityAdmin",
    "roles/iam.roleViewer",
    "roles/iam.securityReviewer",
    "roles/iam.serviceAccountViewer",
    "roles/iam.workloadIdentityPoolViewer",
    "roles/iap.tunnelResourceAccessor",
    "roles/logging.configWriter",
    "roles/monitoring.editor",
    "roles/pubsub.editor",
    "roles/run.admin",
    "roles/secretmanager.viewer",
    "roles/serviceusage.serviceUsageViewer",
    "roles/storage.bucketViewer",
  ])
  # What is read to plan.
  plan_roles = toset([
    "roles/artifactregistry.reader",
    "roles/bigquery.metadataViewer",
    "roles/bigtable.viewer",
    "roles/cloudscheduler.viewer",
    "roles/compute.viewer",
    "roles/iam.roleViewer",
    "roles/iam.securityReviewer",
    "roles/iam.serviceAccountViewer",
    "roles/iam.workloadIdentityPoolViewer",
    "roles/logging.viewer",
    "roles/monitoring.viewer",
    "roles/pubsub.viewer",
    "roles/run.viewer",
    "roles/secretmanager.viewer",
    "roles/serviceusage.serviceUsageViewer",
    "roles/storage.bucketViewer",
  ])

  jobs = {
    ingest = {
      args            = ["ingest", "${module.storage.uri}events/", "--allow-none"]
      service_account = module.service_accounts.emails.ingest
      schedule        = var.schedules.ingest
      tasks           = var.tasks.ingest
    }
    aggregate = {
      args            = ["aggregate"]
      service_account = module.service_accounts.emails.aggregate
      schedule        = var.schedules.aggregate
      tasks           = var.tasks.aggregate
    }
    # After a change of what is aggregated, by hand.
    rebuild = {
      args            = ["aggregate", "--rebuild"]
      service_account = module.service_accounts.emails.aggregate
      timeout_seconds = 86400
      cpu             = 4
      memory          = "8Gi"
      retries         = 1
    }
  }
}

resource "google_project_service" "this" {
  for_each = local.apis

  project            = var.project_id
  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false
}

module "bigtable" {
  source = "../bigtable"

  project_id          = var.project_id
  instance_name       = local.name
  clusters            = var.clusters
  tables              = var.tables
  deletion_protection = var.deletion_protection
  backups             = var.backup_hours == null ? null : { retention_hours = var.backup_hours }
  change_streams      = var.change_streams

  depends_on = [google_project_service.this]
}

module "networking" {
  source = "../networking"

  project_id  = var.project_id
  region      = var.region
  name        = local.name
  subnet_cidr = var.subnet_cidr

  depends_on = [google_project_service.this]
}

module "service_accounts" {
  source = "../service-accounts"

  project_id    = var.project_id
  prefix        = local.name
  instance_name = module.bigtable.instance_name
  deploy_roles  = local.deploy_roles
  plan_roles    = local.plan_roles
  github = var.github_repository == null ? null : {
    repository = var.github_repository
    deploy     = [var.environment]
    # A plan is made before somebody approves, in an environment that asks nobody and by an account that only reads.
    plan = ["${var.environment}-plan"]
  }

  # Grants are on tables, which must be there.
  depends_on = [module.bigtable]
}

module "storage" {
  source = "../storage"

  project_id  = var.project_id
  bucket_name = "${var.project_id}-landing"
  location    = upper(var.region)
  readers     = [module.service_accounts.emails.ingest]
  writers     = var.landing_writers
  deployer    = module.service_accounts.emails.deploy
  kms_key     = var.kms_key
}

module "pubsub" {
  source = "../pubsub"

  project_id     = var.project_id
  project_number = var.project_number
  name           = "${local.name}-events"
  subscriber     = module.service_accounts.emails.ingest
  publishers     = var.publishers
  kms_key        = var.kms_key

  depends_on = [google_project_service.this]
}

module "secrets" {
  source = "../secrets"

  project_id = var.project_id
  secrets = {
    "${local.name}-slack-webhook" = { reader = module.service_accounts.emails.deploy }
    "${local.name}-api-token"     = { reader = module.service_accounts.emails.serve }
  }
  locations = [var.region]

  depends_on = [google_project_service.this]
}

module "compute" {
  source = "../compute"

  project_id          = var.project_id
  region              = var.region
  name                = local.name
  network_id          = module.networking.network_id
  subnet_id           = module.networking.subnet_id
  store_uri           = module.bigtable.store_uri.ingest
  pipeline_file       = var.pipeline_file
  config_bucket       = "${var.project_id}-config"
  image               = var.image_digest == null ? null : "${local.registry}/rowmill@${var.image_digest}"
  jobs                = local.jobs
  deployer            = module.service_accounts.emails.deploy
  planner             = module.service_accounts.emails.plan
  network_tags        = [module.networking.ssh_tag]
  kms_key             = var.kms_key
  deletion_protection = var.deletion_protection
  machines = {
    for name, machine in var.machines : name => {
      zone            = machine.zone
      machine_type    = machine.machine_type
      disk_gib        = machine.disk_gib
      service_account = module.service_accounts.emails[machine.account]
    }
  }
}

module "monitoring" {
  source = "../monitoring"

  project_id               = var.project_id
  name                     = local.name
  instance_name            = module.bigtable.instance_name
  dead_letter_subscription = basename(module.pubsub.dead_letter_subscription)
  events_subscription      = basename(module.pubsub.subscription)
  slack                    = var.slack
  emails                   = var.emails
  reject_share_max         = var.reject_share_max
  silence_hours_max        = local.is_at_work ? 3 : null
  # One of several clusters must be able to take over what another does.
  cpu_max = length(var.clusters) > 1 ? 0.35 : 0.7

  depends_on = [google_project_service.this]
}

module "analytics" {
  source = "../analytics"
  count  = var.analytics == null ? 0 : 1

  project_id          = var.project_id
  instance_name       = module.bigtable.instance_name
  location            = var.region
  dataset_id          = "rowmill"
  columns             = var.columns
  readers             = var.analytics.readers
  kms_key             = var.kms_key
  deletion_protection = var.deletion_protection

  depends_on = [module.bigtable]
}

# Where images come from; one that was pushed stays what it is.
resource "google_artifact_registry_repository" "images" {
  project                = var.project_id
  location               = var.region
  repository_id          = local.name
  description            = "rowmill's images."
  format                 = "DOCKER"
  kms_key_name           = var.kms_key
  cleanup_policy_dry_run = false

  docker_config {
    immutable_tags = true
  }
  cleanup_policies {
    id     = "keep-newest"
    action = "KEEP"
    most_recent_versions {
      keep_count = 20
    }
  }
  cleanup_policies {
    id     = "drop-old"
    action = "DELETE"
    condition {
      older_than = "7776000s"
    }
  }

  depends_on = [google_project_service.this]
}
