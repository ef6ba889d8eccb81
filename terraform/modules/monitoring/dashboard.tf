locals {
  # Prometheus' names of what is counted here, of a distribution with the sum of its values. A query names the kind of resource, and there are two.
  counted = {
    for name in concat([for fate in local.fates : "records_${fate}_sum"], ["runs", "aggregations"]) : name => {
      for length in ["10m", "1h"] : length => join(" + ", [
        for resource in ["cloud_run_job", "gce_instance"] :
        "(sum(increase(logging_googleapis_com:user_${local.prefix}_${name}{monitored_resource=\"${resource}\"}[${length}])) or vector(0))"
      ])
    }
  }
  charts = [
    { title = "Records by what became of them, in 10 minutes", queries = { for fate in ["written", "duplicate", "filtered", "rejected"] : fate => local.counted["records_${fate}_sum"]["10m"] }, type = "STACKED_BAR" },
    {
      title   = "Share of records that were rejected"
      queries = { rejected = "(${local.counted["records_rejected_sum"]["1h"]}) / (${local.counted["records_read_sum"]["1h"]})" }
      type    = "LINE"
    },
    {
      title = "Runs that ended, in an hour"
      queries = {
        ingest    = local.counted["runs"]["1h"]
        aggregate = local.counted["aggregations"]["1h"]
      }
      type = "LINE"
    },
    {
      title   = "Bigtable: load of processors"
      queries = { cpu = "max by (cluster) (bigtable_googleapis_com:cluster_cpu_load{instance=\"${var.instance_name}\"})" }
      type    = "LINE"
    },
    {
      title   = "Bigtable: share of storage"
      queries = { storage = "max by (cluster) (bigtable_googleapis_com:cluster_storage_utilization{instance=\"${var.instance_name}\"})" }
      type    = "LINE"
    },
    {
      title   = "Bigtable: rows written a second"
      queries = { rows = "sum by (table) (rate(bigtable_googleapis_com:server_modified_rows_count{instance=\"${var.instance_name}\"}[5m]))" }
      type    = "LINE"
    },
  ]
}

resource "google_monitoring_dashboard" "this" {
  project = var.project_id
  dashboard_json = jsonencode({
    displayName = "${var.name}: the pipeline"
    mosaicLayout = {
      columns = 12
      tiles = [
        for index, chart in local.charts : {
          xPos   = index % 2 * 6
          yPos   = floor(index / 2) * 4
          width  = 6
          height = 4
          widget = {
            title = chart.title
            xyChart = {
              dataSets = [
                for name, query in chart.queries : {
                  plotType        = chart.type
                  legendTemplate  = length(chart.queries) > 1 ? name : ""
                  timeSeriesQuery = { prometheusQuery = query }
                }
              ]
            }
          }
        }
      ]
    }
  })
}
