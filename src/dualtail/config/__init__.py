"""The config: its models, how it is read, and its one-line errors."""
