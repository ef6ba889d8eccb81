output "channels" {
  description = "Names of the notification channels."
  value       = local.channels
}

output "log_filters" {
  description = "Which entries of the log are counted, by metric."
  value       = merge({ for name, it in local.counters : name => it.filter }, { for fate in local.fates : "records_${fate}" => local.ingested })
}
