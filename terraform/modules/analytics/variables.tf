variable "project_id" {
  description = "Project of the dataset and the instance."
  type        = string
  nullable    = false
}

variable "instance_name" {
  description = "The Bigtable instance."
  type        = string
  nullable    = false
}

variable "location" {
  description = "Where the dataset is: the region, or the multi-region, of the instance."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^([a-z]+-[a-z]+[0-9]+|US|EU)$", var.location))
    error_message = "location must be a region such as europe-west1, or US or EU."
  }
}

variable "dataset_id" {
  description = "Name of the dataset."
  type        = string
  default     = "rowmill"
  nullable    = false

  validation {
    condition     = can(regex("^[a-zA-Z0-9_]{1,1000}$", var.dataset_id))
    error_message = "dataset_id must be letters, digits and underscores."
  }
}

variable "columns" {
  description = "Columns by table and family, each with the type that a pipeline file gives it. What `rowmill schema export --terraform` prints."
  type        = map(map(map(string)))
  nullable    = false

  validation {
    condition     = alltrue(flatten([for families in values(var.columns) : [for columns in values(families) : [for type in values(columns) : contains(["string", "int", "float", "bool", "timestamp", "json"], type)]]]))
    error_message = "A column's type must be string, int, float, bool, timestamp or json."
  }
  validation {
    condition     = alltrue(flatten([for families in values(var.columns) : [for columns in values(families) : [for name, _ in columns : can(regex("^[a-zA-Z_][a-zA-Z0-9_]{0,299}$", name))]]]))
    error_message = "A column's name must be letters, digits and underscores: BigQuery knows no others."
  }
}

variable "app_profile" {
  description = "App profile that queries go by."
  type        = string
  default     = "serving"
  nullable    = false
}

variable "readers" {
  description = "Who may query, as `user:…`, `group:…` or `serviceAccount:…`."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.readers : can(regex("^(user|group|serviceAccount):[^@]+@[^@]+$", member))])
    error_message = "readers must be user:…, group:… or serviceAccount:…, and nobody at large."
  }
}

variable "deletion_protection" {
  description = "Whether the tables are kept from being deleted."
  type        = bool
  default     = false
  nullable    = false
}

variable "kms_key" {
  description = "Full name of the key that results that BigQuery keeps are encrypted by; null for Google's."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null ? true : can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key must be a key's full name: projects/P/locations/L/keyRings/R/cryptoKeys/K."
  }
}
