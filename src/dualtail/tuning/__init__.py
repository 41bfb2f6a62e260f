"""Parameter-efficient tuning of frozen foundation models (section 3 of the paper; LIFT)."""
