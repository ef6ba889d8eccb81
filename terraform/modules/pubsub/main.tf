locals {
  retention = "${var.retention_days * 86400}s"
  # The service's own account hands dead letters on.
  service_agent = "serviceAccount:service-${var.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_topic" "events" {
  project                    = var.project_id
  name                       = var.name
  kms_key_name               = var.kms_key
  message_retention_duration = local.retention
}

resource "google_pubsub_topic" "dead_letters" {
  project                    = var.project_id
  name                       = "${var.name}-dead"
  kms_key_name               = var.kms_key
  message_retention_duration = local.retention
}

resource "google_pubsub_subscription" "events" {
  project                    = var.project_id
  name                       = "${var.name}-rowmill"
  topic                      = google_pubsub_topic.events.id
  ack_deadline_seconds       = var.ack_deadline_seconds
  message_retention_duration = "${min(var.retention_days, 7) * 86400}s"
  enable_message_ordering    = false

  # It never goes away by itself.
  expiration_policy {
    ttl = ""
  }
  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }
  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters.id
    max_delivery_attempts = var.delivery_attempts
  }
}

# Without a subscription a topic keeps nothing that can be looked at.
resource "google_pubsub_subscription" "dead_letters" {
  project                    = var.project_id
  name                       = "${var.name}-dead-rowmill"
  topic                      = google_pubsub_topic.dead_letters.id
  message_retention_duration = "${min(var.retention_days, 7) * 86400}s"

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_topic_iam_member" "service_agent_publishes" {
  project = var.project_id
  topic   = google_pubsub_topic.dead_letters.name
  role    = "roles/pubsub.publisher"
  member  = local.service_agent
}

resource "google_pubsub_subscription_iam_member" "service_agent_acknowledges" {
  project      = var.project_id
  subscription = google_pubsub_subscription.events.name
  role         = "roles/pubsub.subscriber"
  member       = local.service_agent
}

resource "google_pubsub_subscription_iam_member" "subscriber" {
  for_each = {
    events       = google_pubsub_subscription.events.name
    dead_letters = google_pubsub_subscription.dead_letters.name
  }

  project      = var.project_id
  subscription = each.value
  role         = "roles/pubsub.subscriber"
  member       = "serviceAccount:${var.subscriber}"
}

resource "google_pubsub_topic_iam_member" "publishers" {
  for_each = var.publishers

  project = var.project_id
  topic   = google_pubsub_topic.events.name
  role    = "roles/pubsub.publisher"
  member  = "serviceAccount:${each.key}"
}
