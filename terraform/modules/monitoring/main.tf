locals {
  prefix = replace(var.name, "-", "_")

  # What the binary logs with `--log-format json`, be it a Cloud Run job or a unit of a machine whose journal the Ops Agent reads.
  from      = "(resource.type=\"cloud_run_job\" OR resource.type=\"gce_instance\")"
  ingested  = "${local.from} AND jsonPayload.fields.message=\"ingested\""
  dead_many = "jsonPayload.fields.rejected>${var.dead_letters_max}"
  bad_share = "(jsonPayload.fields.status=\"too many rejects\" OR jsonPayload.fields.rejected_share>${var.reject_share_max})"

  # How many entries match.
  counters = {
    runs               = { description = "Runs of ingest that ended.", filter = local.ingested }
    aggregations       = { description = "Runs of aggregate that ended.", filter = "${local.from} AND jsonPayload.fields.message=\"aggregated\"" }
    quality_failures   = { description = "Runs of which too many records were rejected.", filter = "${local.ingested} AND ${local.bad_share}" }
    dead_letter_bursts = { description = "Runs that left many dead letters.", filter = "${local.ingested} AND ${local.dead_many}" }
    damaged            = { description = "Runs with inputs that could not be read to their end.", filter = "${local.ingested} AND jsonPayload.fields.status=\"damaged\"" }
    unit_failures      = { description = "Units of machines that failed.", filter = "resource.type=\"gce_instance\" AND jsonPayload.fields.message=\"unit failed\"" }
  }
  # What became of records, by run.
  fates = toset(["read", "written", "duplicate", "filtered", "rejected"])
}

resource "google_logging_metric" "counter" {
  for_each = local.counters

  project     = var.project_id
  name        = "${local.prefix}_${each.key}"
  description = each.value.description
  filter      = each.value.filter

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"
  }
}

resource "google_logging_metric" "records" {
  for_each = local.fates

  project         = var.project_id
  name            = "${local.prefix}_records_${each.key}"
  description     = "Records of a run: ${each.key}."
  filter          = local.ingested
  value_extractor = "EXTRACT(jsonPayload.fields.${each.key})"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = "1"
  }
  bucket_options {
    exponential_buckets {
      num_finite_buckets = 64
      growth_factor      = 2
      scale              = 1
    }
  }
}
