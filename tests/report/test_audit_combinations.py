"""Combinations of models, on simulated logits whose priors and best accuracy are known."""

from dataclasses import replace

import numpy as np
import pytest

from dualtail.outputs import Outputs, imported_outputs
from dualtail.report.audit import Audit, AuditSettings, audit_outputs, names_of
from dualtail.report.audit_combinations import Combination, cross_fit
from dualtail.report.audit_page import answer, audit_page

QUICK = AuditSettings(bootstrap=100)
STRENGTH, SPREAD, CLASSES = 1.9, 1.7, 60


def simulated(
    per_class: int, log_q: np.ndarray, strength: float = STRENGTH, seed: int = 0
) -> list[np.ndarray]:
    """Logits (N, C) of one model per row of `log_q`; softmax(f - log q) is the exact posterior of each."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(log_q.shape[1]), per_class)
    found = []
    for prior in log_q:
        logits = strength * rng.standard_normal((labels.size, prior.size)) + prior
        logits[np.arange(labels.size), labels] += strength**2
        found.append(logits.astype(np.float32))
    return found


def dumps_of(logits: list[np.ndarray], per_class: int) -> list[Outputs]:
    n_classes = logits[0].shape[1]
    labels = np.repeat(np.arange(n_classes), per_class)
    names = [f"class {c}" for c in range(n_classes)]
    return [
        imported_outputs(array, labels, names, dataset="toy", split="test", member="abcdef"[m])
        for m, array in enumerate(logits)
    ]


@pytest.fixture(scope="module")
def log_q() -> np.ndarray:
    """Two unrelated, steep priors, (2, C)."""
    return SPREAD * np.random.default_rng(1).standard_normal((2, CLASSES))


@pytest.fixture(scope="module")
def audit(log_q: np.ndarray) -> Audit:
    return audit_outputs(dumps_of(simulated(20, log_q), 20), settings=QUICK)


def test_adjusting_and_fusing_add_up_as_in_truth(audit: Audit, log_q: np.ndarray) -> None:
    large = simulated(200, log_q, seed=7)
    labels = np.repeat(np.arange(CLASSES), 200)
    exact = [logits - prior for logits, prior in zip(large, log_q, strict=True)]
    truth = {
        Combination((0,), False, ""): large[0],
        Combination((1,), False, ""): large[1],
        Combination((0, 1), False, "logits"): sum(large),
        Combination((0,), True, ""): exact[0],
        Combination((1,), True, ""): exact[1],
        Combination((0, 1), True, "logits"): sum(exact),
    }
    assert audit.combinations is not None
    found = {tried.combination: tried for tried in audit.combinations.tried}
    for one, logits in truth.items():
        best = (logits.argmax(axis=1) == labels).mean()
        value = found[one].mean_accuracy.value
        # With q of 10 images per class; nothing can be better than with the true q.
        assert best - 0.1 < value < best + 0.03, one
    singles = [found[Combination((m,), False, "")].mean_accuracy.value for m in (0, 1)]
    fused = found[Combination((0, 1), False, "logits")].mean_accuracy.low
    adjusted = [found[Combination((m,), True, "")].mean_accuracy for m in (0, 1)]
    both = found[Combination((0, 1), True, "logits")]
    assert max(singles) < min(fused, *(one.low for one in adjusted))
    assert both.mean_accuracy.low > 1.3 * max(fused, *(one.high for one in adjusted))
    assert audit.combinations.chosen == (both.combination, both.combination)
    assert audit.combinations.mean_accuracy == both.mean_accuracy
    assert audit.combinations.gain.value == pytest.approx(
        both.mean_accuracy.value - audit.combinations.single.value
    )
    assert audit.combinations.gain.low > 0.3


def test_the_page_names_the_best_first_and_lists_all(audit: Audit) -> None:
    page = audit_page(audit, "md")
    assert audit.combinations is not None
    best = f"{100 * audit.combinations.mean_accuracy.value:.1f} %"
    said = answer(audit)[-1]
    assert said.startswith(
        "**Best of 8 combinations: a and b, each adjusted by its q, then fused by mean logits.** "
        f"Its mean class accuracy is {best} ["
    )
    assert "chosen on one half of the images and judged on the other" in said
    table = page.split("## Adjusted and fused")[1].split("\n## ")[0]
    rows = [
        line.split(" | ") for line in table.splitlines() if line.startswith("| a") or "| b" in line
    ]
    assert len(rows) == 8
    assert rows[0][:3] == ["| a + b", "yes", "mean logits"]
    assert rows[0][3].startswith(best)


def test_the_choice_does_not_raise_the_number() -> None:
    """All combinations of logits that know nothing are right by chance; the best of them is not."""
    judged, best = [], []
    for seed in range(20):
        noise = np.random.default_rng(seed).standard_normal((2, 120, 6)).astype(np.float32)
        dumps = dumps_of(list(noise), 20)
        found = cross_fit(dumps, seed)
        assert found is not None
        judged.append(found.chosen_right.mean())
        best.append(found.right.mean(axis=1).max())
    draws = len(judged) ** 0.5
    assert abs(np.mean(judged) - 1 / 6) < 3 * np.std(judged) / draws
    raised = np.subtract(best, judged)
    assert np.mean(raised) > 3 * np.std(raised) / draws


def test_a_model_beside_a_useless_one_stays_alone() -> None:
    log_q = np.zeros((2, 8))
    good, noise = simulated(30, log_q, 3.0)[0], simulated(30, log_q, 0.1)[1] * 60
    found = audit_outputs(dumps_of([noise, good], 30), settings=QUICK).combinations
    assert found is not None
    assert all(chosen.models == (1,) for chosen in found.chosen)
    assert abs(found.gain.value) < 0.02


def test_too_few_images_are_said() -> None:
    found = audit_outputs(dumps_of(simulated(2, np.zeros((2, 3))), 2), settings=QUICK)
    assert found.combinations is None
    assert "No combination was tried: 6 images are too few" in answer(found)[-1]


def test_dumps_of_one_model_get_names_that_tell_them_apart() -> None:
    def named(source: str, **header: object) -> Outputs:
        dump = dumps_of(simulated(2, np.zeros((1, 3))), 2)[0]
        return replace(dump, header=dump.header.model_copy(update=header), source=source)

    clip = {"members": ["clip"], "kind": "zero-shot"}
    tuned = {"members": ["clip"], "kind": "tuned", "peft": "lora", "loss": "la", "seed": 1}
    assert names_of([named("a", **clip), named("b", members=["b"])]) == ["clip", "b"]
    assert names_of([named("a", **clip), named("b", **tuned)]) == [
        "clip zero-shot",
        "clip tuned lora la seed 1",
    ]
    alike = [named("one/x.safetensors"), named("one/y.safetensors")]
    assert names_of(alike) == ["x", "y"]
    assert names_of([named("one/x.safetensors"), named("two/x.safetensors")])[0].startswith("one")
    audit = audit_outputs([named("b", **tuned)], settings=QUICK)
    assert "clip: these outputs are tuned" in " ".join(audit.cautions)
