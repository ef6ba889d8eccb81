variable "project_id" {
  description = "Project of the topic."
  type        = string
  nullable    = false
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

variable "name" {
  description = "What topic, subscription and dead-letter topic are called after."
  type        = string
  default     = "rowmill-events"
  nullable    = false

  validation {
    condition     = can(regex("^[a-zA-Z][-_.~+%a-zA-Z0-9]{2,240}$", var.name)) && !startswith(var.name, "goog")
    error_message = "name must be 3 to 241 letters, digits and -_.~+%, start with a letter, and not with goog."
  }
}

variable "subscriber" {
  description = "Address of the service account that reads events."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[^@:]+@[^@:]+$", var.subscriber))
    error_message = "subscriber must be an address, without `serviceAccount:`."
  }
}

variable "publishers" {
  description = "Addresses of the service accounts that send events."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for address in var.publishers : can(regex("^[^@:]+@[^@:]+$", address))])
    error_message = "publishers must be addresses, without `serviceAccount:`."
  }
}

variable "delivery_attempts" {
  description = "How often a message is delivered before it becomes a dead letter, 5 to 100."
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.delivery_attempts >= 5 && var.delivery_attempts <= 100
    error_message = "delivery_attempts must be 5 to 100."
  }
}

variable "ack_deadline_seconds" {
  description = "How long a message may be worked on before it is delivered again, 10 to 600."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.ack_deadline_seconds >= 10 && var.ack_deadline_seconds <= 600
    error_message = "ack_deadline_seconds must be 10 to 600."
  }
}

variable "retention_days" {
  description = "How long messages are kept that nobody has taken, 1 to 31 days."
  type        = number
  default     = 7
  nullable    = false

  validation {
    condition     = var.retention_days >= 1 && var.retention_days <= 31 && floor(var.retention_days) == var.retention_days
    error_message = "retention_days must be a whole number from 1 to 31."
  }
}

variable "kms_key" {
  description = "Full name of the key that messages are encrypted by; null for Google's."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null ? true : can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key must be a key's full name: projects/P/locations/L/keyRings/R/cryptoKeys/K."
  }
}
