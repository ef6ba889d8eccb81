variable "project_id" {
  description = "Project of the secrets."
  type        = string
  nullable    = false
}

variable "secrets" {
  description = "Secrets by name, each with the address of the one service account that reads it. What is in them is put there by hand, and never stands in Terraform's state."
  type        = map(object({ reader = string }))
  nullable    = false

  validation {
    condition     = alltrue([for name, _ in var.secrets : can(regex("^[a-zA-Z][-_a-zA-Z0-9]{0,254}$", name))])
    error_message = "A secret's name must be letters, digits, hyphens and underscores, and start with a letter."
  }
  validation {
    condition     = alltrue([for secret in var.secrets : can(regex("^[^@:]+@[^@:]+$", secret.reader))])
    error_message = "A secret's reader must be an address, without `serviceAccount:`."
  }
}

variable "locations" {
  description = "Regions that hold the secrets; none for wherever Google holds them."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for region in var.locations : can(regex("^[a-z]+-[a-z]+[0-9]+$", region))])
    error_message = "locations must be regions such as europe-west1."
  }
}
