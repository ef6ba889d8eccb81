variable "project_id" {
  description = "Project of everything. An environment has a project of its own."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be 6 to 30 lowercase letters, digits and hyphens, and start with a letter."
  }
}

variable "project_number" {
  description = "The project's number, which Pub/Sub's own account is called after: `gcloud projects describe PROJECT --format 'value(projectNumber)'`."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]{6,20}$", var.project_number))
    error_message = "project_number must be the project's number, not its id."
  }
}

variable "environment" {
  description = "dev, staging or production."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["dev", "staging", "production"], var.environment)
    error_message = "environment must be dev, staging or production."
  }
}

variable "region" {
  description = "Region of everything but further clusters."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be one such as europe-west1."
  }
}

variable "clusters" {
  description = "Bigtable's clusters, as the module `bigtable` takes them."
  type = map(object({
    zone         = string
    nodes        = optional(number)
    storage_type = optional(string, "SSD")
    kms_key      = optional(string)
    autoscaling = optional(object({
      nodes_min      = number
      nodes_max      = number
      cpu_target     = optional(number, 60)
      storage_target = optional(number)
    }))
  }))
  nullable = false
}

variable "tables" {
  description = "Tables, families and what may be dropped of each: `rowmill schema export --terraform`."
  type = map(map(object({
    versions_max    = optional(number)
    age_seconds_max = optional(number)
  })))
  nullable = false
}

variable "columns" {
  description = "Columns and their types: `rowmill schema export --terraform`. Only BigQuery reads them."
  type        = map(map(map(string)))
  default     = {}
  nullable    = false
}

variable "pipeline_file" {
  description = "Text of the pipeline file."
  type        = string
  nullable    = false
}

variable "backup_hours" {
  description = "How long daily backups of every table are kept, in hours, 72 to 2,160. Null for none."
  type        = number
  default     = null
}

variable "change_streams" {
  description = "Hours, by table, for which changes can be read."
  type        = map(number)
  default     = {}
  nullable    = false
}

variable "deletion_protection" {
  description = "Whether what holds data, and what runs, is kept from being deleted."
  type        = bool
  default     = true
  nullable    = false
}

variable "subnet_cidr" {
  description = "Addresses of the subnet."
  type        = string
  default     = "10.20.0.0/24"
  nullable    = false
}

variable "github_repository" {
  description = "The repository, OWNER/NAME, whose workflows deploy, in the environment of the same name, and plan, in ENVIRONMENT-plan. Null for none."
  type        = string
  default     = null
}

variable "image_digest" {
  description = "Digest, sha256:…, of the image `rowmill` in the environment's registry. Null before there is one."
  type        = string
  default     = null

  validation {
    condition     = var.image_digest == null ? true : can(regex("^sha256:[0-9a-f]{64}$", var.image_digest))
    error_message = "image_digest must be sha256: and 64 hexadecimal digits: a tag may be another image tomorrow."
  }
}

variable "schedules" {
  description = "When jobs run, as cron writes it, in UTC. Null for only by hand."
  type = object({
    ingest    = optional(string)
    aggregate = optional(string)
  })
  default  = {}
  nullable = false
}

variable "tasks" {
  description = "How many tasks share the work of each job."
  type = object({
    ingest    = optional(number, 1)
    aggregate = optional(number, 1)
  })
  default  = {}
  nullable = false
}

variable "machines" {
  description = "Machines that Ansible looks after, by name: `zone`, and `account`, ingest, aggregate or serve, that it runs as."
  type = map(object({
    zone         = string
    account      = string
    machine_type = optional(string, "e2-standard-2")
    disk_gib     = optional(number, 20)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for machine in values(var.machines) : contains(["ingest", "aggregate", "serve"], machine.account)])
    error_message = "A machine's account must be ingest, aggregate or serve."
  }
}

variable "landing_writers" {
  description = "Addresses of the accounts that leave files in the landing bucket."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "publishers" {
  description = "Addresses of the accounts that send events to the topic."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "slack" {
  description = "The Slack channel of alerts, and the token of Google's Slack application. Null for none."
  type = object({
    channel    = string
    auth_token = string
  })
  default   = null
  sensitive = true
}

variable "emails" {
  description = "Addresses that alerts go to as well."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "reject_share_max" {
  description = "Share of a run's records beyond which rejects are a quality failure."
  type        = number
  default     = 0.05
  nullable    = false
}

variable "analytics" {
  description = "BigQuery over the tables, for these readers. Null for none."
  type        = object({ readers = set(string) })
  default     = null
}

variable "kms_key" {
  description = "Full name of the key for buckets, disks, messages and images; clusters name theirs themselves. Null for Google's."
  type        = string
  default     = null
}
