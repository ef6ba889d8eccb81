variable "project_id" {
  description = "Project of the bucket."
  type        = string
  nullable    = false
}

variable "bucket_name" {
  description = "Name of the landing bucket: no other bucket in the world may have it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][-_a-z0-9]{1,61}[a-z0-9]$", var.bucket_name)) && !startswith(var.bucket_name, "goog")
    error_message = "bucket_name must be 3 to 63 lowercase letters, digits, hyphens and underscores, and not start with goog."
  }
}

variable "location" {
  description = "Region or multi-region of the bucket."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^([A-Z]+-[A-Z]+[0-9]+|US|EU|ASIA)$", var.location))
    error_message = "location must be a region such as EUROPE-WEST1, or US, EU or ASIA."
  }
}

variable "readers" {
  description = "Addresses of the service accounts that read what landed."
  type        = set(string)
  nullable    = false

  validation {
    condition     = alltrue([for address in var.readers : can(regex("^[^@:]+@[^@:]+$", address))])
    error_message = "readers must be addresses, without `serviceAccount:`."
  }
}

variable "writers" {
  description = "Addresses of the service accounts that leave files: they can add objects, and neither read nor replace any."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for address in var.writers : can(regex("^[^@:]+@[^@:]+$", address))])
    error_message = "writers must be addresses, without `serviceAccount:`."
  }
}

variable "cool_after_days" {
  description = "After so many days objects move to a cheaper class."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.cool_after_days >= 1
    error_message = "cool_after_days must be at least 1."
  }
}

variable "delete_after_days" {
  description = "After so many days objects are deleted. `rowmill verify --full` reads them until then."
  type        = number
  default     = 400
  nullable    = false

  validation {
    condition     = var.delete_after_days >= 30
    error_message = "delete_after_days must be at least 30."
  }
}

variable "kms_key" {
  description = "Full name of the key that objects are encrypted by; null for Google's."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null ? true : can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key must be a key's full name: projects/P/locations/L/keyRings/R/cryptoKeys/K."
  }
}

variable "deployer" {
  description = "Address of the account that deploys the bucket, and reads nothing in it. Null for none but who may do anything."
  type        = string
  default     = null
}
