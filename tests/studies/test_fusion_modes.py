"""Fusion by logits against probabilities: the pivot against accuracies worked out from the dumps."""

import numpy as np
import pytest

from dualtail.bias.combined_outputs import fuse_outputs
from dualtail.errors import UserError
from dualtail.paper.context import PaperContext
from dualtail.paper.lookup import ScoreLookup
from dualtail.scores.schema import as_frame
from dualtail.scores.table import score_outputs
from dualtail.studies.fusion_modes import DIFFERENCE, fusion_modes_figure, fusion_modes_table

CONTEXT = PaperContext(
    run="r",
    datasets={"toy": "Toy"},
    members={"a": "A", "b": "B"},
    pefts={"adaptformer": "AdaptFormer"},
    config={"fusion": {"losses": ["la"], "zero_shot": True}},
)


@pytest.fixture(scope="module")
def dumps(outputs_of):
    rng = np.random.default_rng(0)
    labels = np.arange(60, dtype=np.int64) % 6
    found = []
    for kind, tuning in (
        ("zero-shot", {}),
        ("tuned", {"peft": "adaptformer", "loss": "la", "seed": 0}),
    ):
        singles = []
        for k, member in enumerate(("a", "b")):
            # Models of different sharpness: only then do the two fusions differ.
            logits = (1 + 4 * k) * (rng.normal(size=(60, 6)) + (labels[:, None] == np.arange(6)))
            half = logits.astype(np.float16)
            singles.append(outputs_of(half, labels, kind=kind, members=[member], **tuning))
        found += [*singles, *(fuse_outputs(singles, m) for m in ("logits", "probabilities"))]
    return found


@pytest.fixture(scope="module")
def scores(dumps):
    d = ["D-Many"] * 2 + ["D-Medium"] * 2 + ["D-Few"] * 2
    p = ["P-Many", "P-Medium", "P-Few"] * 2
    return score_outputs(dumps, run="r", d_groups=d, p_groups=p, replicates=50, seed=0).table


def accuracy(dump, classes) -> float:
    right = dump.logits.argmax(axis=1) == dump.labels
    return 100 * float(np.mean([right[dump.labels == c].mean() for c in classes]))


def test_the_table_has_accuracies_and_paired_differences(dumps, scores) -> None:
    table = fusion_modes_table(ScoreLookup(scores, CONTEXT))
    assert list(table.cells.index) == [
        ("Toy", "zero-shot", "A + B"),
        ("Toy", "AdaptFormer, LA", "A + B"),
    ]
    groups = {"Overall": range(6), "D-Few": (4, 5), "P-Few": (2, 5)}
    for row, first in ((0, 2), (1, 6)):
        by_logits, by_probabilities = dumps[first], dumps[first + 1]
        line = table.cells.iloc[row]
        assert line["Accuracy", "logits"].value == pytest.approx(accuracy(by_logits, range(6)))
        for group, classes in groups.items():
            gain = accuracy(by_logits, classes) - accuracy(by_probabilities, classes)
            assert line[DIFFERENCE, group].value == pytest.approx(gain, abs=1e-5)
    shown = [cell.value for cell in table.cells[DIFFERENCE, "Overall"]]
    assert any(shown)
    assert fusion_modes_figure(ScoreLookup(scores, CONTEXT)).data["gain"].tolist() == shown


def test_scores_without_the_comparison_are_refused(scores) -> None:
    with pytest.raises(UserError, match="lack the accuracy_gain"):
        fusion_modes_table(ScoreLookup(as_frame(scores[scores["metric"] == "accuracy"]), CONTEXT))
