locals {
  metric = {
    for name, metric in google_logging_metric.counter : name => "metric.type=\"logging.googleapis.com/user/${metric.name}\""
  }
  bigtable = "resource.type=\"bigtable_cluster\" AND resource.labels.instance=\"${var.instance_name}\""

  # What is too much: `filter` over `period` seconds, aligned and reduced, above `threshold` for `duration` seconds.
  thresholds = merge(
    {
      for name, it in {
        quality_failures   = { title = "quality failure: too many records rejected", what = "`rowmill dlq stats` says why, `rowmill dlq what-if` whether another pipeline file would take them." }
        dead_letter_bursts = { title = "many dead letters", what = "More than ${var.dead_letters_max} of one run. `rowmill dlq list` shows them with every reason; `rowmill dlq replay` sends them again." }
        damaged            = { title = "damaged input", what = "`rowmill runs list` names the run, `rowmill runs show` the input." }
        unit_failures      = { title = "a unit failed", what = "`journalctl -u` of the unit that the entry names, on its machine." }
      } :
      name => merge(it, {
        filter    = "${local.metric[name]} AND resource.type=one_of(\"cloud_run_job\",\"gce_instance\")"
        threshold = 0, period = 300, duration = 0, aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", severity = "ERROR"
      })
    },
    {
      failed_jobs = {
        title     = "a Cloud Run job failed"
        what      = "Its tasks were tried as often as they may. What is done is kept: the next execution goes on from there."
        filter    = "metric.type=\"run.googleapis.com/job/completed_execution_count\" AND resource.type=\"cloud_run_job\" AND metric.labels.result=\"failed\""
        threshold = 0, period = 300, duration = 0, aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", severity = "ERROR"
      }
      bigtable_cpu = {
        title     = "Bigtable: processors are busy"
        what      = "Add nodes, or let autoscaling have more. Batches go first where queries use the profile `serving`."
        filter    = "metric.type=\"bigtable.googleapis.com/cluster/cpu_load\" AND ${local.bigtable}"
        threshold = var.cpu_max, period = 300, duration = 600, aligner = "ALIGN_MEAN", reducer = "REDUCE_MAX", severity = "WARNING"
      }
      bigtable_storage = {
        title     = "Bigtable: storage is filling"
        what      = "Add nodes, or keep less: `[retention]` of the pipeline file."
        filter    = "metric.type=\"bigtable.googleapis.com/cluster/storage_utilization\" AND ${local.bigtable}"
        threshold = var.storage_max, period = 300, duration = 600, aligner = "ALIGN_MEAN", reducer = "REDUCE_MAX", severity = "WARNING"
      }
    },
    var.dead_letter_subscription == null ? {} : {
      undelivered = {
        title     = "Pub/Sub: messages could not be delivered"
        what      = "They wait in ${var.dead_letter_subscription}."
        filter    = "metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\" AND resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${var.dead_letter_subscription}\""
        threshold = 0, period = 300, duration = 300, aligner = "ALIGN_MAX", reducer = "REDUCE_MAX", severity = "ERROR"
      }
    },
    var.events_subscription == null ? {} : {
      backlog = {
        title     = "Pub/Sub: events wait"
        what      = "The oldest has waited for more than ${var.backlog_minutes_max} minutes: nobody reads, or too slowly."
        filter    = "metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\" AND resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${var.events_subscription}\""
        threshold = var.backlog_minutes_max * 60, period = 300, duration = 300, aligner = "ALIGN_MAX", reducer = "REDUCE_MAX", severity = "ERROR"
      }
    },
  )

  # What should never be missing.
  absences = var.silence_hours_max == null ? {} : {
    runs         = "ingest has stalled"
    aggregations = "aggregation has stalled"
  }

  channels = concat(google_monitoring_notification_channel.slack[*].name, [for channel in google_monitoring_notification_channel.email : channel.name])
}

resource "google_monitoring_notification_channel" "slack" {
  count = nonsensitive(var.slack == null) ? 0 : 1

  project      = var.project_id
  display_name = "${var.name}: Slack"
  type         = "slack"
  labels       = { channel_name = nonsensitive(var.slack.channel) }

  sensitive_labels {
    auth_token = var.slack.auth_token
  }
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.emails

  project      = var.project_id
  display_name = "${var.name}: ${each.key}"
  type         = "email"
  labels       = { email_address = each.key }
}

resource "google_monitoring_alert_policy" "threshold" {
  for_each = local.thresholds

  project               = var.project_id
  display_name          = "${var.name}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels

  conditions {
    display_name = each.value.title

    condition_threshold {
      filter          = each.value.filter
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.threshold
      duration        = "${each.value.duration}s"

      aggregations {
        alignment_period     = "${each.value.period}s"
        per_series_aligner   = each.value.aligner
        cross_series_reducer = each.value.reducer
      }
      trigger {
        count = 1
      }
    }
  }
  documentation {
    content   = each.value.what
    mime_type = "text/markdown"
  }
  alert_strategy {
    auto_close = "86400s"
  }
}

resource "google_monitoring_alert_policy" "absence" {
  for_each = local.absences

  project               = var.project_id
  display_name          = "${var.name}: ${each.value}"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels

  conditions {
    display_name = each.value

    condition_absent {
      filter   = "${local.metric[each.key]} AND resource.type=one_of(\"cloud_run_job\",\"gce_instance\")"
      duration = "${var.silence_hours_max * 3600}s"

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }
      trigger {
        count = 1
      }
    }
  }
  documentation {
    content   = "No run has ended for ${var.silence_hours_max} hours. Is it still scheduled, and do its executions begin?"
    mime_type = "text/markdown"
  }
  alert_strategy {
    auto_close = "86400s"
  }
}
