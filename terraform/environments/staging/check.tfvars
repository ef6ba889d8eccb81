# What the check plans staging with.
project_id        = "check-project"
project_number    = "123456789012"
image_digest      = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
github_repository = "owner/name"
slack_channel     = "#data-alerts"
slack_auth_token  = "not-a-token"
machines = {
  ingest    = { zone = "europe-west1-b", account = "ingest" }
  aggregate = { zone = "europe-west1-c", account = "aggregate" }
}
