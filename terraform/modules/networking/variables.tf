variable "project_id" {
  description = "Project of the network."
  type        = string
  nullable    = false
}

variable "region" {
  description = "Region of the subnet, its router and its NAT."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be one such as europe-west1."
  }
}

variable "name" {
  description = "What the network and everything in it is called after."
  type        = string
  default     = "rowmill"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$", var.name))
    error_message = "name must be at most 40 lowercase letters, digits and hyphens, and start with a letter."
  }
}

variable "subnet_cidr" {
  description = "Addresses of the subnet: a private range of 8 to 4,096 addresses."
  type        = string
  default     = "10.20.0.0/24"
  nullable    = false

  validation {
    condition     = can(cidrhost(var.subnet_cidr, 0)) && can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.)", var.subnet_cidr))
    error_message = "subnet_cidr must be a private range such as 10.20.0.0/24."
  }
  validation {
    condition     = try(tonumber(split("/", var.subnet_cidr)[1]) >= 20 && tonumber(split("/", var.subnet_cidr)[1]) <= 29, false)
    error_message = "subnet_cidr must be from /20 to /29."
  }
}

variable "flow_sampling" {
  description = "Share of the subnet's flows that are logged, above 0 to 1."
  type        = number
  default     = 0.5
  nullable    = false

  validation {
    condition     = var.flow_sampling > 0 && var.flow_sampling <= 1
    error_message = "flow_sampling must be above 0 and at most 1."
  }
}

variable "health_check_port" {
  description = "Port that Google's health checks may reach on machines with the tag `health_check_tag` puts out."
  type        = number
  default     = 8080
  nullable    = false

  validation {
    condition     = var.health_check_port >= 1024 && var.health_check_port <= 65535
    error_message = "health_check_port must be 1024 to 65535: the service has no privileges."
  }
}

variable "egress_ports" {
  description = "TCP ports that machines may reach outside. 443 for Google's interfaces and Slack, 80 for signed packages."
  type        = set(string)
  default     = ["443", "80"]
  nullable    = false

  validation {
    condition     = length(var.egress_ports) > 0 && alltrue([for port in var.egress_ports : can(tonumber(port)) && try(tonumber(port) >= 1 && tonumber(port) <= 65535, false)])
    error_message = "egress_ports must be single ports."
  }
}
