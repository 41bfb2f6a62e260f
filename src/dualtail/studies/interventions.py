"""Predictions under interventions on the semantic factor, against the true P(Y | do(X)).

The world draws a test creature three times, everything else equal: both parts visible, the head only,
the body only. Each of the three shows a part, and either part alone tells the class. So the true
interventional distribution P(Y | do(X = x)) is known for each image: all mass on the creature's
class y, whatever is visible. Two things are asked of a model's p(. | v) under the intervention v:

- Backdoor adjustment over what is visible, sum_v p(. | v) w(v), with the TRUE frequencies w of the
  dataset, and for comparison with those of the corpus that the model was pre-trained on, which depend on
  the class: its distance from the truth. Total variation is then 1 - sum_v w(v) p(y | v), because the
  truth is a point mass.
- How much the prediction hangs on what is visible: the total variation between p(. | head only) and
  p(. | body only). The truth does not change at all.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dualtail.bias.softmax import (
    FloatArray,
    IntArray,
    check_labels,
    check_logits,
    log_softmax,
    read_block,
)
from dualtail.errors import UserError
from dualtail.outputs import Outputs, OutputsHeader

VISIBLE = ("both", "head", "body")
"""The parts that an intervention shows, in the order of the world's visibilities."""


class Visibility(NamedTuple):
    """How often what is visible, as the world's truth.json says."""

    downstream: FloatArray
    """(3,) in the images of the dataset, for every class"""
    corpora: Mapping[str, FloatArray]
    """corpus -> (C, 3), for the classes of the dataset"""


class Distances(NamedTuple):
    """A number per image, (N,) each."""

    variation: FloatArray
    """total variation of the adjusted prediction from the truth, true frequencies"""
    corpus_variation: FloatArray
    """the same with the frequencies of the corpus; NaN without one"""
    cross_entropy: FloatArray
    """-log of the adjusted probability of the true class, nats: KL from the truth"""
    brier: FloatArray
    """squared Euclidean distance of the adjusted prediction from the truth"""
    sensitivity: FloatArray
    """total variation between the predictions with only the head and only the body"""


def read_visibility(truth: Mapping, dataset: str) -> Visibility:
    """Take the visibilities out of a dataset's truth.json.

    Raises:
        UserError: it is of another dataset, lacks them, or they are not shares.
    """
    try:
        if truth["name"] != dataset:
            raise UserError(
                f"of {truth['name']!r}, not {dataset!r}; name the truth.json of {dataset}"
            )
        creature = np.asarray(truth["creature"], dtype=np.int64)
        downstream = np.asarray(truth["visibility"], dtype=float)
        corpora = {
            name: np.asarray(entry["visibility"], dtype=float)[creature]
            for name, entry in truth["corpora"].items()
        }
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(
            f"no visibilities of a dataset in it ({error!r}); name the truth.json that the world wrote"
        ) from error
    _check_shares(downstream, (len(VISIBLE),), "visibility")
    for name, shares in corpora.items():
        _check_shares(shares, (len(creature), len(VISIBLE)), f"corpora.{name}.visibility")
    return Visibility(downstream, corpora)


def _check_shares(values: FloatArray, shape: tuple[int, ...], key: str) -> None:
    if values.shape != shape:
        raise UserError(
            f"{key}: of shape {values.shape}, not {shape}; the world writes such a file"
        )
    if not (np.all(values >= 0) and np.allclose(values.sum(axis=-1), 1)):
        raise UserError(f"{key}: not shares of {', '.join(VISIBLE)}, which are positive with sum 1")


def distances(
    probabilities: FloatArray,
    labels: IntArray,
    weights: FloatArray,
    corpus_weights: FloatArray | None,
) -> Distances:
    """Compare predictions under the three interventions with the truth.

    Args:
        probabilities: (3, N, C) in the order of `VISIBLE`.
        labels: (N,) classes.
        weights: (3,) true frequencies of the three.
        corpus_weights: (C, 3) frequencies by class in a corpus, or None.
    """
    rows = np.arange(len(labels))
    true_class = probabilities[:, rows, labels]
    adjusted = np.tensordot(weights, probabilities, axes=1)
    at_truth = adjusted[rows, labels]
    in_corpus = np.full(len(labels), np.nan)
    if corpus_weights is not None:
        in_corpus = 1.0 - np.einsum("nv,vn->n", corpus_weights[labels], true_class)
    return Distances(
        variation=1.0 - at_truth,
        corpus_variation=in_corpus,
        cross_entropy=-np.log(at_truth),
        brier=(adjusted**2).sum(axis=1) - at_truth**2 + (1.0 - at_truth) ** 2,
        sensitivity=0.5 * np.abs(probabilities[1] - probabilities[2]).sum(axis=1),
    )


def read_probabilities(dumps: Mapping[str, Outputs]) -> FloatArray:
    """Return (3, N, C) softmax probabilities in the order of `VISIBLE`.

    Raises:
        UserError: dumps of different models, classes or labels, or an intervention that is missing.
    """
    for name in VISIBLE:
        if name not in dumps:
            raise UserError(f"interventions: no outputs with {name} visible")
    first = dumps[VISIBLE[0]]
    found = []
    for dump in (dumps[name] for name in VISIBLE):
        if _identity(dump.header) != _identity(first.header):
            raise UserError(f"{dump.source}: another model or dataset than {first.source}")
        if not np.array_equal(dump.labels, first.labels):
            raise UserError(f"{dump.source}: other labels than {first.source}")
        logits = check_logits(dump.logits, dump.source)
        check_labels(dump.labels, *logits.shape)
        found.append(np.exp(log_softmax(read_block(logits, slice(None), dump.source))))
    return np.stack(found)


def _identity(header: OutputsHeader) -> tuple[object, ...]:
    """What a dump is, but for its images."""
    return (
        header.dataset,
        header.kind,
        header.members_key,
        header.peft,
        header.loss,
        header.seed,
        header.fusion,
        header.class_names,
    )


def corpus_weights(
    members: Sequence[str], corpora: Mapping[str, str], visibility: Visibility
) -> FloatArray | None:
    """Return (C, 3): how often what is visible in the members' corpora, each with the same weight.

    None if a member's corpus is not known.
    """
    known = [visibility.corpora.get(corpora.get(member, "")) for member in members]
    found = [weights for weights in known if weights is not None]
    return np.mean(found, axis=0) if len(found) == len(members) else None
