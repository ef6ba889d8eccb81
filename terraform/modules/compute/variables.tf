variable "project_id" {
  description = "Project of jobs and machines."
  type        = string
  nullable    = false
}

variable "region" {
  description = "Region of jobs and their schedule."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be one such as europe-west1."
  }
}

variable "name" {
  description = "What jobs and machines are called after."
  type        = string
  default     = "rowmill"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$", var.name))
    error_message = "name must be at most 40 lowercase letters, digits and hyphens, and start with a letter."
  }
}

variable "network_id" {
  description = "The network that jobs and machines are in."
  type        = string
  nullable    = false
}

variable "subnet_id" {
  description = "The subnet that jobs and machines are in."
  type        = string
  nullable    = false
}

variable "store_uri" {
  description = "What jobs take for `--store`."
  type        = string
  nullable    = false

  validation {
    condition     = startswith(var.store_uri, "bigtable://")
    error_message = "store_uri must be one of Bigtable: a job's own disk is gone with it."
  }
}

variable "pipeline_file" {
  description = "Text of the pipeline file."
  type        = string
  nullable    = false

  validation {
    condition     = strcontains(var.pipeline_file, "[event]")
    error_message = "pipeline_file must be the text of a pipeline file, not its path."
  }
}

variable "config_bucket" {
  description = "Name of the bucket, to be made, that holds the pipeline file."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][-_a-z0-9]{1,61}[a-z0-9]$", var.config_bucket)) && !startswith(var.config_bucket, "goog")
    error_message = "config_bucket must be 3 to 63 lowercase letters, digits, hyphens and underscores, and not start with goog."
  }
}

variable "image" {
  description = "The container image, by its digest: NAME@sha256:DIGEST. Null for no jobs."
  type        = string
  default     = null

  validation {
    condition     = var.image == null ? true : can(regex("^[a-z0-9][-./_a-z0-9]*@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image must be NAME@sha256:DIGEST: a tag may be another image tomorrow."
  }
}

variable "jobs" {
  description = <<-TEXT
    Cloud Run jobs by name: `args` of the binary; `service_account`, the address that it runs as; `schedule`, as cron writes it, in UTC,
    null for none; `tasks` that share the work, each a shard; `parallelism`, how many run at once, all if null; `retries` of a task;
    `timeout_seconds` of a task; `cpu` and `memory`. What a task writes to disk counts as its memory.
  TEXT
  type = map(object({
    args            = list(string)
    service_account = string
    schedule        = optional(string)
    tasks           = optional(number, 1)
    parallelism     = optional(number)
    retries         = optional(number, 3)
    timeout_seconds = optional(number, 3600)
    cpu             = optional(number, 2)
    memory          = optional(string, "2Gi")
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for name, _ in var.jobs : can(regex("^[a-z][-a-z0-9]{0,18}[a-z0-9]$", name))])
    error_message = "A job's name must be 2 to 20 lowercase letters, digits and hyphens, and start with a letter."
  }
  validation {
    condition     = alltrue([for job in values(var.jobs) : job.tasks >= 1 && job.tasks <= 10000])
    error_message = "A job has 1 to 10,000 tasks."
  }
  validation {
    condition     = alltrue([for job in values(var.jobs) : job.retries >= 0 && job.retries <= 10])
    error_message = "A task is tried again at most 10 times."
  }
  validation {
    condition     = alltrue([for job in values(var.jobs) : job.timeout_seconds >= 60 && job.timeout_seconds <= 86400])
    error_message = "timeout_seconds must be 60 to 86400."
  }
  validation {
    condition     = alltrue([for job in values(var.jobs) : contains([1, 2, 4, 8], job.cpu)])
    error_message = "cpu must be 1, 2, 4 or 8."
  }
  validation {
    condition     = alltrue([for job in values(var.jobs) : can(regex("^[1-9][0-9]*(Mi|Gi)$", job.memory))])
    error_message = "memory must be one such as 512Mi or 2Gi."
  }
  validation {
    condition     = alltrue([for job in values(var.jobs) : job.schedule == null ? true : length(split(" ", job.schedule)) == 5])
    error_message = "schedule must have the five fields of cron."
  }
  validation {
    condition     = alltrue([for job in values(var.jobs) : can(regex("^[^@:]+@[^@:]+$", job.service_account))])
    error_message = "service_account must be an address, without `serviceAccount:`."
  }
  validation {
    condition     = alltrue([for job in values(var.jobs) : length(job.args) > 0])
    error_message = "A job must say what it does: args is empty."
  }
}

variable "deployer" {
  description = "Address of the account that deploys the pipeline file and schedules. Null for none but who may do anything."
  type        = string
  default     = null
}

variable "planner" {
  description = "Address of the account that plans what would change, and reads the pipeline file. Null for none."
  type        = string
  default     = null
}

variable "machines" {
  description = "Machines for the service that Ansible looks after, by name: `zone`, `service_account`, the address that it runs as; `machine_type`, `disk_gib`."
  type = map(object({
    zone            = string
    service_account = string
    machine_type    = optional(string, "e2-standard-2")
    disk_gib        = optional(number, 20)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for name, _ in var.machines : can(regex("^[a-z][-a-z0-9]{0,18}[a-z0-9]$", name))])
    error_message = "A machine's name must be 2 to 20 lowercase letters, digits and hyphens, and start with a letter."
  }
  validation {
    condition     = alltrue([for machine in values(var.machines) : can(regex("^[a-z]+-[a-z]+[0-9]+-[a-z]$", machine.zone))])
    error_message = "A machine's zone must be one such as europe-west1-b."
  }
  validation {
    condition     = alltrue([for machine in values(var.machines) : machine.disk_gib >= 10 && machine.disk_gib <= 1000])
    error_message = "disk_gib must be 10 to 1000."
  }
}

variable "machine_image" {
  description = "Image that machines boot."
  type        = string
  default     = "projects/debian-cloud/global/images/family/debian-12"
  nullable    = false
}

variable "network_tags" {
  description = "Tags of machines, by which the network lets traffic in."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "kms_key" {
  description = "Full name of the key that disks and the bucket are encrypted by; null for Google's."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null ? true : can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key must be a key's full name: projects/P/locations/L/keyRings/R/cryptoKeys/K."
  }
}

variable "deletion_protection" {
  description = "Whether jobs and machines are kept from being deleted."
  type        = bool
  default     = true
  nullable    = false
}
