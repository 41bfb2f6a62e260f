"""What may be set for each PEFT method of `tuning/peft/`: one module per method, free of torch."""

from dualtail.registry import ListedOptions

PEFT_OPTIONS = ListedOptions(__name__)
