mock_provider "google" {}

variables {
  project_id    = "test-project"
  instance_name = "rowmill-test"
  location      = "europe-west1"
  columns = {
    events_fact      = { event_data = { length = "float", song = "string" }, metadata = { timestamp = "timestamp" } }
    events_aggregate = { daily_stats = { count = "int" } }
  }
}

run "columns_have_their_types" {
  command = plan

  assert {
    condition     = one([for column in google_bigquery_table.this["events_fact"].external_data_configuration[0].bigtable_options[0].column_family[0].column : "${column.type} ${column.encoding}" if column.qualifier_string == "length"]) == "FLOAT BINARY"
    error_message = "numbers are binary"
  }
  assert {
    condition     = google_bigquery_table.this["events_fact"].external_data_configuration[0].source_uris == tolist(["https://googleapis.com/bigtable/projects/test-project/instances/rowmill-test/appProfiles/serving/tables/events_fact"])
    error_message = "a table is read by a profile"
  }
  assert {
    condition     = google_bigquery_table.this["events_aggregate"].external_data_configuration[0].bigtable_options[0].read_rowkey_as_string
    error_message = "keys are texts"
  }
  assert {
    condition     = length(google_bigtable_table_iam_member.readers) == 0
    error_message = "nobody reads who was not named"
  }
}

run "who_asks_may_read_both" {
  command = plan
  variables { readers = ["group:analysts@example.com"] }

  assert {
    condition     = length(google_bigquery_dataset_iam_member.readers) == 1 && length(google_bigtable_table_iam_member.readers) == 2
    error_message = "the dataset, and the tables behind it"
  }
}

run "nobody_at_large" {
  command = plan
  variables { readers = ["allAuthenticatedUsers"] }
  expect_failures = [var.readers]
}

run "types_are_those_of_pipeline_files" {
  command = plan
  variables {
    columns = { events_fact = { event_data = { length = "double" } } }
  }
  expect_failures = [var.columns]
}
