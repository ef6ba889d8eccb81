variable "project_id" {
  description = "Project of the accounts."
  type        = string
  nullable    = false
}

variable "prefix" {
  description = "What the accounts are called after: `PREFIX-ingest`, `PREFIX-aggregate`, `PREFIX-serve`, `PREFIX-deploy`."
  type        = string
  default     = "rowmill"
  nullable    = false

  validation {
    # An account's id has at most 30 characters, of which `-aggregate` takes ten.
    condition     = can(regex("^[a-z]([-a-z0-9]{4,18}[a-z0-9])$", var.prefix))
    error_message = "prefix must be 6 to 20 lowercase letters, digits and hyphens, and start with a letter."
  }
}

variable "instance_name" {
  description = "The Bigtable instance."
  type        = string
  nullable    = false
}

variable "github" {
  description = "The repository, `OWNER/NAME`, and those of its environments whose workflows may act as the deploy account, and as the plan account. Null for none."
  type = object({
    repository = string
    deploy     = list(string)
    plan       = list(string)
  })
  default = null

  validation {
    condition     = var.github == null ? true : can(regex("^[-A-Za-z0-9]+/[-._A-Za-z0-9]+$", var.github.repository))
    error_message = "github.repository must be OWNER/NAME."
  }
  validation {
    condition     = var.github == null ? true : length(var.github.deploy) > 0 && alltrue([for name in concat(var.github.deploy, var.github.plan) : can(regex("^[-_A-Za-z0-9]{1,100}$", name))])
    error_message = "github.deploy and github.plan must be names of letters, digits, hyphens and underscores, at least one to deploy."
  }
}

variable "deploy_roles" {
  description = "Roles of the deploy account in the project: those of what the environment's other modules make."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition = alltrue([
      for role in var.deploy_roles :
      startswith(role, "roles/") && !contains(["roles/owner", "roles/editor", "roles/viewer", "roles/iam.securityAdmin", "roles/resourcemanager.projectIamAdmin"], role)
    ])
    error_message = "deploy_roles must not be basic roles, nor any that may grant every other."
  }
}

variable "plan_roles" {
  description = "Roles of the plan account in the project, which only reads."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for role in var.plan_roles : can(regex("^roles/[a-zA-Z]+\\.[a-zA-Z]*([vV]iewer|[rR]eviewer|[rR]eader)$", role))])
    error_message = "plan_roles must be those of viewers and readers, and none of them basic."
  }
}
