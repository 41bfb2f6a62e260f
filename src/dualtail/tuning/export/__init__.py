"""A tuned model without the machinery of tuning: one tower, one head, in plain torch and in files."""
