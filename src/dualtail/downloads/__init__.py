"""Sources of datasets, lists and weights; fetching and verifying them."""
