"""dualtail: repair data and parameter imbalance of foundation models on long-tailed data."""

__version__ = "0.1.0"
