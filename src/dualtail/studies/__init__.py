"""Studies beside the paper's: what a world with known truth can show, and how fusion depends on its rule."""
