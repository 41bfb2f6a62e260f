"""Entries of `losses` that tables and claims know by name, besides `ce` and `la`."""

GLA_TRAIN = "gla_train"
"""GLA-Train with both stages (Eq. 6): the backbone's adapter with the first, its head re-trained."""

GLA_FIRST = "gla_first"
"""Its first stage alone: the head that the second stage throws away."""

DECOUPLING = "decoupling"
"""Tuned with CE, then the head re-trained with LA (Table 12)."""
