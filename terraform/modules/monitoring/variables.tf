variable "project_id" {
  description = "Project that logs and metrics are in."
  type        = string
  nullable    = false
}

variable "name" {
  description = "What metrics and policies are called after."
  type        = string
  default     = "rowmill"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$", var.name))
    error_message = "name must be at most 40 lowercase letters, digits and hyphens, and start with a letter."
  }
}

variable "instance_name" {
  description = "The Bigtable instance whose load is watched."
  type        = string
  nullable    = false
}

variable "dead_letter_subscription" {
  description = "Id, within the project, of the Pub/Sub subscription of what could not be delivered. Null for none."
  type        = string
  default     = null
}

variable "events_subscription" {
  description = "Id, within the project, of the Pub/Sub subscription that events are read from. Null for none."
  type        = string
  default     = null
}

variable "slack" {
  description = "The Slack channel that alerts go to, as #CHANNEL, and the token of Google's Slack application. Null for none. The token stands in Terraform's state."
  type = object({
    channel    = string
    auth_token = string
  })
  default   = null
  sensitive = true

  validation {
    condition     = var.slack == null ? true : can(regex("^#[-_a-z0-9]{1,80}$", var.slack.channel))
    error_message = "slack.channel must be one such as #data-alerts."
  }
}

variable "emails" {
  description = "Addresses that alerts go to as well."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for address in var.emails : can(regex("^[^@\\s]+@[^@\\s]+$", address))])
    error_message = "emails must be addresses."
  }
}

variable "reject_share_max" {
  description = "Share of a run's records, 0 to 1, beyond which rejects are a quality failure."
  type        = number
  default     = 0.05
  nullable    = false

  validation {
    condition     = var.reject_share_max >= 0 && var.reject_share_max < 1
    error_message = "reject_share_max must be from 0 to below 1."
  }
}

variable "dead_letters_max" {
  description = "How many dead letters one run may leave before somebody is told."
  type        = number
  default     = 1000
  nullable    = false

  validation {
    condition     = var.dead_letters_max >= 0 && floor(var.dead_letters_max) == var.dead_letters_max
    error_message = "dead_letters_max must be a whole number."
  }
}

variable "silence_hours_max" {
  description = "After so many hours, 1 to 23, without a run of ingest or aggregate somebody is told. Null for never, where nothing is scheduled."
  type        = number
  default     = 3

  validation {
    condition     = var.silence_hours_max == null ? true : var.silence_hours_max >= 1 && var.silence_hours_max <= 23
    error_message = "silence_hours_max must be 1 to 23: an absence of a day or more cannot be told."
  }
}

variable "backlog_minutes_max" {
  description = "How old, in minutes, the oldest event that nobody has taken may be."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.backlog_minutes_max >= 1
    error_message = "backlog_minutes_max must be at least 1."
  }
}

variable "cpu_max" {
  description = "Load of a cluster's processors, 0 to 1, that it should not keep. Google advises 0.7 for one cluster, 0.35 where another must be able to take over."
  type        = number
  default     = 0.7
  nullable    = false

  validation {
    condition     = var.cpu_max > 0 && var.cpu_max <= 1
    error_message = "cpu_max must be above 0 and at most 1."
  }
}

variable "storage_max" {
  description = "Share of a cluster's storage, 0 to 1, that it should not use."
  type        = number
  default     = 0.7
  nullable    = false

  validation {
    condition     = var.storage_max > 0 && var.storage_max <= 1
    error_message = "storage_max must be above 0 and at most 1."
  }
}
