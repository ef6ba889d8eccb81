variable "project_id" {
  description = "Project of the instance."
  type        = string
  nullable    = false
}

variable "instance_name" {
  description = "Name of the instance: 6 to 33 lowercase letters, digits and hyphens, starting with a letter."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{4,31}[a-z0-9]$", var.instance_name))
    error_message = "instance_name must be 6 to 33 lowercase letters, digits and hyphens, start with a letter and end with a letter or digit."
  }
}

variable "clusters" {
  description = <<-TEXT
    Clusters by their id: one in each zone, several for replication. Either `nodes`, a fixed number, or `autoscaling` between two
    numbers at a CPU target (percent) and, if given, a storage target (GiB a node). `kms_key` is the full name of a key in the cluster's
    region.
  TEXT
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

  validation {
    condition     = length(var.clusters) >= 1 && length(var.clusters) <= 8
    error_message = "clusters must name 1 to 8 clusters."
  }
  validation {
    condition     = alltrue([for id, _ in var.clusters : can(regex("^[a-z][-a-z0-9]{4,28}[a-z0-9]$", id))])
    error_message = "A cluster id must be 6 to 30 lowercase letters, digits and hyphens, start with a letter and end with a letter or digit."
  }
  validation {
    condition     = alltrue([for cluster in var.clusters : can(regex("^[a-z]+-[a-z]+[0-9]+-[a-z]$", cluster.zone))])
    error_message = "A cluster's zone must be one such as europe-west1-b."
  }
  validation {
    condition     = length(distinct([for cluster in var.clusters : cluster.zone])) == length(var.clusters)
    error_message = "Each cluster must be in a zone of its own."
  }
  validation {
    condition     = alltrue([for cluster in var.clusters : (cluster.nodes == null) != (cluster.autoscaling == null)])
    error_message = "A cluster has either nodes or autoscaling."
  }
  validation {
    condition     = alltrue([for cluster in var.clusters : cluster.nodes == null ? true : cluster.nodes >= 1])
    error_message = "A cluster has at least one node."
  }
  validation {
    condition = alltrue([
      for cluster in var.clusters : cluster.autoscaling == null ? true : (
        cluster.autoscaling.nodes_min >= 1 && cluster.autoscaling.nodes_max >= cluster.autoscaling.nodes_min
        && cluster.autoscaling.nodes_max <= 10 * cluster.autoscaling.nodes_min
      )
    ])
    error_message = "autoscaling needs 1 <= nodes_min <= nodes_max <= 10 * nodes_min."
  }
  validation {
    condition = alltrue([
      for cluster in var.clusters : cluster.autoscaling == null ? true : (
        cluster.autoscaling.cpu_target >= 10 && cluster.autoscaling.cpu_target <= 80
      )
    ])
    error_message = "autoscaling.cpu_target must be 10 to 80 percent."
  }
  validation {
    condition     = alltrue([for cluster in var.clusters : contains(["SSD", "HDD"], cluster.storage_type)])
    error_message = "storage_type must be SSD or HDD."
  }
  validation {
    condition     = length(distinct([for cluster in var.clusters : cluster.storage_type])) == 1
    error_message = "All clusters of an instance have the same storage_type."
  }
  validation {
    condition = alltrue([
      for cluster in var.clusters : cluster.kms_key == null ? true : can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", cluster.kms_key))
    ])
    error_message = "kms_key must be a key's full name: projects/P/locations/L/keyRings/R/cryptoKeys/K."
  }
}

variable "tables" {
  description = "Tables, their families, and what may be dropped of each: all but the newest `versions_max` versions, and what is older than `age_seconds_max`. What `rowmill schema export --terraform` prints."
  type = map(map(object({
    versions_max    = optional(number)
    age_seconds_max = optional(number)
  })))
  nullable = false

  validation {
    condition     = alltrue([for name, _ in var.tables : can(regex("^[_a-zA-Z0-9][-_.a-zA-Z0-9]{0,49}$", name))])
    error_message = "A table's name must be 1 to 50 letters, digits, hyphens, underscores and dots."
  }
  validation {
    condition     = alltrue(flatten([for families in values(var.tables) : [for name, _ in families : can(regex("^[-_.a-zA-Z0-9]{1,64}$", name))]]))
    error_message = "A family's name must be 1 to 64 letters, digits, hyphens, underscores and dots."
  }
  validation {
    condition     = alltrue(flatten([for families in values(var.tables) : [for rule in values(families) : rule.age_seconds_max == null ? true : rule.age_seconds_max >= 3600 && rule.age_seconds_max % 3600 == 0]]))
    error_message = "age_seconds_max must be whole hours."
  }
  validation {
    condition     = alltrue(flatten([for families in values(var.tables) : [for rule in values(families) : rule.versions_max == null ? true : rule.versions_max >= 1]]))
    error_message = "versions_max must be at least 1."
  }
}

variable "split_keys" {
  description = "Keys at which a new table is split, by table. They count when the table is made, and are ignored afterwards: to change them would make it anew."
  type        = map(list(string))
  default     = {}
  nullable    = false
}

variable "deletion_protection" {
  description = "Whether instance and tables are kept from being deleted."
  type        = bool
  default     = true
  nullable    = false
}

variable "backups" {
  description = "Automated backups of every table, kept for `retention_hours`; null for none."
  type = object({
    retention_hours = number
  })
  default = null

  validation {
    condition     = var.backups == null ? true : var.backups.retention_hours >= 72 && var.backups.retention_hours <= 2160
    error_message = "backups.retention_hours must be 72 to 2160: 3 to 90 days."
  }
}

variable "change_streams" {
  description = "Hours for which changes of a table can be read, by table; a table that is not named has no change stream."
  type        = map(number)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for hours in values(var.change_streams) : hours >= 24 && hours <= 168])
    error_message = "A change stream is kept for 24 to 168 hours."
  }
}

variable "ingest_cluster" {
  description = "The cluster that batches are written to. Null for the first by name."
  type        = string
  default     = null

  validation {
    condition     = var.ingest_cluster == null ? true : contains(keys(var.clusters), var.ingest_cluster)
    error_message = "ingest_cluster must be one of clusters."
  }
}

variable "labels" {
  description = "Labels of the instance."
  type        = map(string)
  default     = {}
  nullable    = false
}
