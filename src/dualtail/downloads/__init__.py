"""Where datasets, lists and weights come from, and fetching them: resumable and verified."""
