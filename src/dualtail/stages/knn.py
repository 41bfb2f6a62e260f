"""Stage knn: nearest neighbors of features, as outputs like any others."""

from pathlib import Path

import numpy as np

from dualtail.errors import UserError
from dualtail.outputs import Outputs, read_outputs, write_outputs
from dualtail.scores.knn import knn_shares

BANK_SPLIT = "val"
SMALLEST_SHARE = 1e-12
"""Stands for no vote at all: logits must be finite."""


def run(
    dump: Path,
    split: str | None,
    bank: Path | None,
    bank_split: str | None,
    k: int,
    temperature: float,
    out: Path,
) -> str:
    """Write the outputs of the kNN; return what `write_outputs` says on the features of a dump."""
    queries = read_outputs(dump, split)
    if bank is None:
        neighbors = read_outputs(dump, bank_split or BANK_SPLIT)
    else:
        neighbors = read_outputs(bank, bank_split, default=BANK_SPLIT)
    return write_outputs(out, knn_outputs(queries, neighbors, k, temperature))


def knn_outputs(queries: Outputs, bank: Outputs, k: int, temperature: float) -> Outputs:
    """Return the outputs of the kNN: logits are logs of the shares of votes, (N, C) float32.

    Args:
        queries: Dump with features (N, D).
        bank: Dump of the same predictor on another split, with features (B, D).
        k: Neighbors that vote.
        temperature: Of the weights of votes.

    Raises:
        UserError: no features, the same split, another predictor or dataset, and see `knn_shares`.
    """
    pair = " and ".join(dict.fromkeys((queries.source, bank.source)))
    for name in ("dataset", "kind", "members", "peft", "loss", "seed", "adjustment", "class_names"):
        if getattr(queries.header, name) != getattr(bank.header, name):
            raise UserError(f"{pair}: not the same {name}; the bank must be of the same model")
    if queries.header.split == bank.header.split:
        raise UserError(
            f"{pair}: queries and bank are both of the split {bank.header.split!r}; the bank must be "
            "another one, or every query finds itself"
        )
    known, asked = _features(bank), _features(queries)
    try:
        shares = knn_shares(
            known,
            bank.labels,
            asked,
            queries.n_classes,
            k=k,
            temperature=temperature,
        )
    except UserError as error:
        raise UserError(f"{pair}: {error}") from None
    np.maximum(shares, SMALLEST_SHARE, out=shares)
    return Outputs(
        header=queries.header.model_copy(update={"kind": "knn"}),
        logits=np.log(shares, out=shares),
        labels=queries.labels,
        image_index=queries.image_index,
        source=f"kNN of {queries.source}",
    )


def _features(dump: Outputs) -> np.ndarray:
    if dump.features is None:
        raise UserError(f"{dump.source}: a dump without features; kNN needs them")
    return dump.features
