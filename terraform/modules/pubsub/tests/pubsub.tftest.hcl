mock_provider "google" {}

variables {
  project_number = "123456789012"
  project_id     = "test-project"
  subscriber     = "ingest@test-project.iam.gserviceaccount.com"
}

run "nothing_is_lost_on_the_way" {
  command = plan

  assert {
    condition     = google_pubsub_subscription.events.dead_letter_policy[0].max_delivery_attempts == 10 && google_pubsub_subscription.events.retry_policy[0].minimum_backoff == "10s"
    error_message = "what fails is tried again, later each time, and becomes a dead letter"
  }
  assert {
    condition     = alltrue([for it in [google_pubsub_subscription.events, google_pubsub_subscription.dead_letters] : it.expiration_policy[0].ttl == ""])
    error_message = "subscriptions do not expire"
  }
  assert {
    condition     = google_pubsub_topic_iam_member.service_agent_publishes.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com" && google_pubsub_subscription_iam_member.service_agent_acknowledges.role == "roles/pubsub.subscriber"
    error_message = "the service's account hands dead letters on"
  }
  assert {
    condition     = google_pubsub_topic.events.message_retention_duration == "604800s"
    error_message = "seven days in seconds"
  }
  assert {
    condition     = length(google_pubsub_topic_iam_member.publishers) == 0
    error_message = "nobody sends who is not named"
  }
}

run "a_month" {
  command = plan
  variables { retention_days = 31 }
  assert {
    condition     = google_pubsub_topic.events.message_retention_duration == "2678400s" && google_pubsub_subscription.events.message_retention_duration == "604800s"
    error_message = "a topic keeps up to 31 days, a subscription 7"
  }
}

run "few_attempts_are_refused" {
  command = plan
  variables { delivery_attempts = 1 }
  expect_failures = [var.delivery_attempts]
}

run "a_member_is_no_address" {
  command = plan
  variables { subscriber = "serviceAccount:ingest@test-project.iam.gserviceaccount.com" }
  expect_failures = [var.subscriber]
}
