# What the check plans dev with: what the first apply has, and no image.
project_id     = "check-project"
project_number = "123456789012"
