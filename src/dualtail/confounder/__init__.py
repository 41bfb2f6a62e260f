"""The paper's study D.7: six classes, two semantic factors each, mixed in two proportions."""
