"""Which explained images Figure 8 and Table 15 show, and with which part hidden."""

from dualtail.explain.examples import Examples

EACH = 2
"""Images for each hidden part."""


def hidden_parts(examples: Examples) -> list[tuple[int, int]]:
    """Return (image, condition) of the columns: the first images go to the first hidden part ..."""
    conditions = [k for k in range(1, examples.pictures.shape[1]) for _ in range(EACH)]
    return list(enumerate(conditions[: len(examples)]))
