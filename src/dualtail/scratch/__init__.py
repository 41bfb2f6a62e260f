"""Networks trained from scratch: no pre-training, so no pre-training prior (Figures 9 and 12)."""
