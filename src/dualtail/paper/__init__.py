"""The paper: its tables and figures from the score table, its published numbers, a summary."""
