mock_provider "google" {}

variables {
  project_id    = "test-project"
  instance_name = "rowmill-test"
  clusters = {
    "rowmill-test-b" = { zone = "europe-west1-b", nodes = 1 }
  }
  tables = {
    events_fact     = { event_data = { versions_max = 1, age_seconds_max = 34560000 }, quality = { versions_max = 1 } }
    events_timeline = { event = {} }
  }
}

run "one_cluster" {
  command = plan

  assert {
    condition     = google_bigtable_instance.this.deletion_protection && google_bigtable_table.this["events_fact"].deletion_protection == "PROTECTED"
    error_message = "what holds data must be protected unless somebody says otherwise"
  }
  assert {
    condition     = google_bigtable_gc_policy.this["events_fact/event_data"].gc_rules == "{\"mode\":\"union\",\"rules\":[{\"max_version\":1},{\"max_age\":\"9600h\"}]}"
    error_message = "either bound lets a cell go: ${google_bigtable_gc_policy.this["events_fact/event_data"].gc_rules}"
  }
  assert {
    condition     = google_bigtable_gc_policy.this["events_fact/quality"].gc_rules == "{\"rules\":[{\"max_version\":1}]}"
    error_message = "one bound stands alone"
  }
  assert {
    condition     = length(google_bigtable_gc_policy.this) == 2
    error_message = "a family without bounds has no policy"
  }
  assert {
    condition     = alltrue([for policy in google_bigtable_gc_policy.this : policy.deletion_policy == "ABANDON" && policy.ignore_warnings == false])
    error_message = "policies are abandoned, never dropped"
  }
  assert {
    condition     = google_bigtable_app_profile.ingest.single_cluster_routing[0].cluster_id == "rowmill-test-b" && google_bigtable_app_profile.ingest.standard_isolation[0].priority == "PRIORITY_LOW"
    error_message = "batches go to one cluster, after queries"
  }
  assert {
    condition     = google_bigtable_app_profile.serving.multi_cluster_routing_use_any && google_bigtable_app_profile.serving.standard_isolation[0].priority == "PRIORITY_HIGH"
    error_message = "queries go to the nearest cluster, before batches"
  }
  assert {
    condition     = output.store_uri.ingest == "bigtable://test-project/rowmill-test?app_profile=ingest"
    error_message = "the URI is what the binary takes"
  }
}

run "replicated_and_scaled" {
  command = plan

  variables {
    clusters = {
      "rowmill-test-b" = { zone = "europe-west1-b", autoscaling = { nodes_min = 1, nodes_max = 5 } }
      "rowmill-test-c" = { zone = "europe-west4-a", autoscaling = { nodes_min = 1, nodes_max = 5, cpu_target = 50, storage_target = 4096 } }
    }
    ingest_cluster = "rowmill-test-c"
    backups        = { retention_hours = 168 }
    change_streams = { events_fact = 168 }
    split_keys     = { events_timeline = ["04#", "08#", "12#"] }
  }

  assert {
    condition     = length(google_bigtable_instance.this.cluster) == 2
    error_message = "both clusters are there"
  }
  assert {
    condition     = google_bigtable_app_profile.ingest.single_cluster_routing[0].cluster_id == "rowmill-test-c"
    error_message = "batches go where they are told"
  }
  assert {
    condition     = google_bigtable_table.this["events_fact"].change_stream_retention == "168h0m0s"
    error_message = "a table that is named has a change stream"
  }
  assert {
    condition     = alltrue([for table in google_bigtable_table.this : one(table.automated_backup_policy).retention_period == "168h0m0s"])
    error_message = "every table is backed up"
  }
  assert {
    condition     = alltrue([for policy in google_bigtable_gc_policy.this : policy.ignore_warnings])
    error_message = "age on replicated tables is meant"
  }
}

run "an_instance_name_is_checked" {
  command = plan
  variables { instance_name = "Rowmill" }
  expect_failures = [var.instance_name]
}

run "nodes_and_autoscaling_are_either_or" {
  command = plan
  variables {
    clusters = { "rowmill-test-b" = { zone = "europe-west1-b", nodes = 1, autoscaling = { nodes_min = 1, nodes_max = 2 } } }
  }
  expect_failures = [var.clusters]
}

run "a_zone_is_no_region" {
  command = plan
  variables {
    clusters = { "rowmill-test-b" = { zone = "europe-west1", nodes = 1 } }
  }
  expect_failures = [var.clusters]
}

run "ages_are_whole_hours" {
  command = plan
  variables {
    tables = { events_fact = { event_data = { age_seconds_max = 90 } } }
  }
  expect_failures = [var.tables]
}

run "backups_are_kept_for_days" {
  command = plan
  variables { backups = { retention_hours = 7 } }
  expect_failures = [var.backups]
}
