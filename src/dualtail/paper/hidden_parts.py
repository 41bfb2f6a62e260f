"""Which explained images Figure 8 and Table 15 show, and with which part hidden."""

from dualtail.explain.examples import Examples

EACH = 2
"""Images for each hidden part."""


def hidden_parts(examples: Examples) -> list[tuple[int, int]]:
    """Return (image, condition) of the columns: the first images go to the first hidden part ..."""
    conditions = range(1, examples.pictures.shape[1])
    pairs = [
        (EACH * k + j, condition) for k, condition in enumerate(conditions) for j in range(EACH)
    ]
    return [(image, condition) for image, condition in pairs if image < len(examples)]
