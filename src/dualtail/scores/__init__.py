"""Scores: metrics of predictions, their intervals, and the one tidy table of what is measured."""
