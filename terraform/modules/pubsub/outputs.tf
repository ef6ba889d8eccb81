output "topic" {
  description = "Full name of the topic that events are sent to."
  value       = google_pubsub_topic.events.id
}

output "subscription" {
  description = "Full name of the subscription that rowmill reads."
  value       = google_pubsub_subscription.events.id
}

output "dead_letter_subscription" {
  description = "Full name of the subscription of what could not be delivered; its backlog is what to alert on."
  value       = google_pubsub_subscription.dead_letters.id
}
