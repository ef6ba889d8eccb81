# What is neither secret nor an id: commit it, so that people and workflows plan the same.
region        = "europe-west1"
slack_channel = ""
emails        = []
