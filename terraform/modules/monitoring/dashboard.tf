locals {
  # Prometheus' names of what is counted here: of a distribution, the sum of its values.
  records = "logging_googleapis_com:user_${local.prefix}_records"

  fate_queries = {
    for fate in ["written", "duplicate", "filtered", "rejected"] :
    fate => "sum(increase(${local.records}_${fate}_sum[10m]))"
  }
  charts = [
    { title = "Records by what became of them, in 10 minutes", queries = local.fate_queries, type = "STACKED_BAR" },
    {
      title   = "Share of records that were rejected"
      queries = { rejected = "sum(increase(${local.records}_rejected_sum[1h])) / sum(increase(${local.records}_read_sum[1h]))" }
      type    = "LINE"
    },
    {
      title = "Runs that ended, in an hour"
      queries = {
        ingest    = "sum(increase(logging_googleapis_com:user_${local.prefix}_runs[1h]))"
        aggregate = "sum(increase(logging_googleapis_com:user_${local.prefix}_aggregations[1h]))"
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
