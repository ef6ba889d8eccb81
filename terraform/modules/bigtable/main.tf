locals {
  is_replicated  = length(var.clusters) > 1
  ingest_cluster = coalesce(var.ingest_cluster, sort(keys(var.clusters))[0])

  families = merge([
    for table, families in var.tables : {
      for family, rule in families : "${table}/${family}" => { table = table, family = family, rule = rule }
    }
  ]...)
  # A family without a rule keeps everything, and has no policy.
  policies = {
    for key, it in local.families : key => merge(it, {
      # As texts: in one list of Terraform's a number beside a text would become a text.
      bounds = concat(
        it.rule.versions_max == null ? [] : [jsonencode({ max_version = it.rule.versions_max })],
        it.rule.age_seconds_max == null ? [] : [jsonencode({ max_age = "${it.rule.age_seconds_max / 3600}h" })],
      )
    }) if it.rule.versions_max != null || it.rule.age_seconds_max != null
  }
}

resource "google_bigtable_instance" "this" {
  project             = var.project_id
  name                = var.instance_name
  display_name        = var.instance_name
  deletion_protection = var.deletion_protection
  labels              = var.labels

  dynamic "cluster" {
    for_each = var.clusters
    content {
      cluster_id   = cluster.key
      zone         = cluster.value.zone
      num_nodes    = cluster.value.nodes
      storage_type = cluster.value.storage_type
      kms_key_name = cluster.value.kms_key

      dynamic "autoscaling_config" {
        for_each = cluster.value.autoscaling == null ? [] : [cluster.value.autoscaling]
        content {
          min_nodes      = autoscaling_config.value.nodes_min
          max_nodes      = autoscaling_config.value.nodes_max
          cpu_target     = autoscaling_config.value.cpu_target
          storage_target = autoscaling_config.value.storage_target
        }
      }
    }
  }
}

resource "google_bigtable_table" "this" {
  for_each = var.tables

  project                 = var.project_id
  instance_name           = google_bigtable_instance.this.name
  name                    = each.key
  split_keys              = lookup(var.split_keys, each.key, null)
  deletion_protection     = var.deletion_protection ? "PROTECTED" : "UNPROTECTED"
  change_stream_retention = contains(keys(var.change_streams), each.key) ? "${var.change_streams[each.key]}h0m0s" : null

  dynamic "column_family" {
    for_each = each.value
    content {
      family = column_family.key
    }
  }

  dynamic "automated_backup_policy" {
    for_each = var.backups == null ? [] : [var.backups]
    content {
      retention_period = "${automated_backup_policy.value.retention_hours}h0m0s"
      frequency        = "24h0m0s"
    }
  }

  lifecycle {
    ignore_changes = [split_keys]
  }
}

resource "google_bigtable_gc_policy" "this" {
  for_each = local.policies

  project       = var.project_id
  instance_name = google_bigtable_instance.this.name
  table         = google_bigtable_table.this[each.value.table].name
  column_family = each.value.family
  # A replicated table cannot lose its policy: who stops managing it leaves it as it is.
  deletion_policy = "ABANDON"
  # Of replicated tables a policy of age may not be applied everywhere at once, which is no harm: readers filter by age themselves.
  ignore_warnings = local.is_replicated

  gc_rules = format(
    length(each.value.bounds) > 1 ? "{\"mode\":\"union\",\"rules\":[%s]}" : "{\"rules\":[%s]}",
    join(",", each.value.bounds),
  )
}

resource "google_bigtable_app_profile" "ingest" {
  project        = var.project_id
  instance       = google_bigtable_instance.this.name
  app_profile_id = "ingest"
  description    = "Batches: one cluster, and after whoever serves."

  single_cluster_routing {
    cluster_id                 = local.ingest_cluster
    allow_transactional_writes = false
  }
  standard_isolation {
    priority = "PRIORITY_LOW"
  }
}

resource "google_bigtable_app_profile" "serving" {
  project        = var.project_id
  instance       = google_bigtable_instance.this.name
  app_profile_id = "serving"
  description    = "Queries: the nearest cluster, before batches."

  multi_cluster_routing_use_any = true
  standard_isolation {
    priority = "PRIORITY_HIGH"
  }
}
