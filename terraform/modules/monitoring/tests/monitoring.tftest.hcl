mock_provider "google" {}

variables {
  project_id    = "test-project"
  instance_name = "rowmill-test"
}

run "what_is_watched_by_itself" {
  command = plan

  assert {
    condition     = length(google_monitoring_notification_channel.slack) == 0 && length(google_monitoring_notification_channel.email) == 0
    error_message = "nobody is told who was not named"
  }
  assert {
    condition     = sort(keys(google_monitoring_alert_policy.threshold)) == tolist(["bigtable_cpu", "bigtable_storage", "damaged", "dead_letter_bursts", "failed_jobs", "quality_failures", "unit_failures"])
    error_message = "no alert on queues that there are not: ${join(", ", keys(google_monitoring_alert_policy.threshold))}"
  }
  assert {
    condition     = sort(keys(google_monitoring_alert_policy.absence)) == tolist(["aggregations", "runs"])
    error_message = "ingest and aggregate may not fall silent"
  }
  assert {
    condition     = google_logging_metric.records["rejected"].value_extractor == "EXTRACT(jsonPayload.fields.rejected)" && google_logging_metric.records["rejected"].metric_descriptor[0].value_type == "DISTRIBUTION"
    error_message = "a value is taken out of an entry into a distribution"
  }
  assert {
    condition     = strcontains(output.log_filters.quality_failures, "jsonPayload.fields.rejected_share>0.05")
    error_message = "the share is the variable's"
  }
  assert {
    condition = alltrue([
      for name, policy in google_monitoring_alert_policy.threshold :
      strcontains(policy.conditions[0].condition_threshold[0].filter, "resource.type=")
    ])
    error_message = "the interface refuses a filter that names no resource"
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.threshold["bigtable_cpu"].conditions[0].condition_threshold[0].filter, "resource.labels.instance=\"rowmill-test\"")
    error_message = "only this instance is watched"
  }
}

run "slack_mail_and_queues" {
  command = plan

  variables {
    slack                    = { channel = "#data-alerts", auth_token = "not-a-token" }
    emails                   = ["oncall@example.com"]
    events_subscription      = "events-rowmill"
    dead_letter_subscription = "events-dead-rowmill"
    silence_hours_max        = null
  }

  assert {
    condition     = google_monitoring_notification_channel.slack[0].type == "slack" && google_monitoring_notification_channel.slack[0].labels.channel_name == "#data-alerts"
    error_message = "Slack is told"
  }
  assert {
    condition     = google_monitoring_alert_policy.threshold["backlog"].conditions[0].condition_threshold[0].threshold_value == 1800
    error_message = "ages are seconds there"
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.threshold["undelivered"].conditions[0].condition_threshold[0].filter, "subscription_id=\"events-dead-rowmill\"")
    error_message = "dead letters are those of the dead-letter subscription"
  }
  assert {
    condition     = length(google_monitoring_alert_policy.absence) == 0
    error_message = "where nothing is scheduled, silence is no failure"
  }
}

run "the_dashboard_fits" {
  command = plan

  assert {
    condition = alltrue([
      for tile in jsondecode(google_monitoring_dashboard.this.dashboard_json).mosaicLayout.tiles : tile.xPos + tile.width <= 12
    ])
    error_message = "tiles stay within the columns"
  }
}

run "a_channel_has_its_sign" {
  command = plan
  variables { slack = { channel = "alerts", auth_token = "not-a-token" } }
  expect_failures = [var.slack]
}

run "silence_is_less_than_a_day" {
  command = plan
  variables { silence_hours_max = 24 }
  expect_failures = [var.silence_hours_max]
}

run "shares_are_shares" {
  command = plan
  variables {
    reject_share_max = 5
    cpu_max          = 70
    storage_max      = 0
  }
  expect_failures = [var.reject_share_max, var.cpu_max, var.storage_max]
}
