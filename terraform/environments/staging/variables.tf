variable "project_id" {
  description = "Project of this environment, and of nothing else."
  type        = string
}

variable "project_number" {
  description = "The project's number, which Pub/Sub's own account is called after: `gcloud projects describe PROJECT --format 'value(projectNumber)'`."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{6,20}$", var.project_number))
    error_message = "project_number must be the project's number, not its id."
  }
}

variable "region" {
  description = "Region of everything but further clusters."
  type        = string
  default     = "europe-west1"
}

variable "image_digest" {
  description = "Digest of the image that runs here, sha256:…; in image.auto.tfvars.json. Null before there is one."
  type        = string
  default     = null
}

variable "pipeline_file" {
  description = "Path of the pipeline file. tables.auto.tfvars.json is made of it: `rowmill schema export --terraform --config rowmill.toml`."
  type        = string
  default     = "rowmill.toml"
}

variable "tables" {
  description = "Tables, families and what may be dropped of each; in tables.auto.tfvars.json."
  type = map(map(object({
    versions_max    = optional(number)
    age_seconds_max = optional(number)
  })))
}

variable "columns" {
  description = "Columns and their types; in tables.auto.tfvars.json."
  type        = map(map(map(string)))
}

variable "github_repository" {
  description = "The repository, OWNER/NAME, whose workflows deploy here. Null for none."
  type        = string
  default     = null
}

variable "slack_channel" {
  description = "The Slack channel of alerts. Empty for none."
  type        = string
  default     = ""
  nullable    = false
}

variable "slack_auth_token" {
  description = "The token of Google's Slack application, as TF_VAR_slack_auth_token."
  type        = string
  default     = null
  sensitive   = true
}

variable "emails" {
  description = "Addresses that alerts go to."
  type        = set(string)
  default     = []
}

variable "schedules" {
  description = "When jobs run, as cron writes it, in UTC; null for only by hand, as where machines do the work."
  type = object({
    ingest    = optional(string)
    aggregate = optional(string)
  })
  default = { ingest = "*/15 * * * *", aggregate = "5-59/15 * * * *" }
}

variable "machines" {
  description = "Machines that Ansible looks after, by name: `zone`, and `account`, ingest, aggregate or serve, that it runs as."
  type = map(object({
    zone         = string
    account      = string
    machine_type = optional(string, "e2-standard-2")
    disk_gib     = optional(number, 20)
  }))
  default = {}
}
