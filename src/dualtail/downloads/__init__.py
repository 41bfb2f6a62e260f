"""Where datasets, lists and weights come from, and having them in place, verified."""
