# What the check plans production with: keys too, which a team has or has not.
project_id        = "check-project"
project_number    = "123456789012"
image_digest      = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
github_repository = "owner/name"
slack_channel     = "#data-alerts"
slack_auth_token  = "not-a-token"
kms_key           = "projects/check-project/locations/europe-west1/keyRings/rowmill/cryptoKeys/data"
second_kms_key    = "projects/check-project/locations/europe-west4/keyRings/rowmill/cryptoKeys/data"
machines = {
  ingest    = { zone = "europe-west1-b", account = "ingest" }
  aggregate = { zone = "europe-west1-c", account = "aggregate" }
}
