"""Headline numbers: means over models and seeds, fused ones of all members only."""

import itertools

import pandas as pd

from dualtail.scores.headline import headline


def row(members: str, peft: str = "", loss: str = "", fusion: str = "", **more) -> dict:
    kind = "fused" if fusion else "tuned" if peft else "zero-shot"
    base = {
        "dataset": "d",
        "kind": kind,
        "members": members,
        "peft": peft,
        "loss": loss,
        "adjustment": "",
        "fusion": fusion,
        "metric": "accuracy",
        "split": "test",
        "group": "Overall",
        "value": 0.0,
    }
    return base | more


def test_means_and_choices() -> None:
    rows = [
        row("a", value=10.0),
        row("b", value=30.0),
        row("a", "vpt", "la", value=50.0),
        row("a", "vpt", "la", value=51.0),
        row("a", "vpt", "la", value=1.0, adjustment="gla"),
        row("a", "vpt", "la", value=2.0, split="val"),
        row("a", "vpt", "la", value=3.0, metric="ece"),
        row("a", "vpt", "la", value=40.0, group="D-Few"),
        row("a", "vpt", "la", value=4.0, group="D-Many"),
        row("a+b", "vpt", "la", "logits", value=5.0),
        row("a+b+c", "vpt", "la", "logits", value=60.0),
        row("a+b", "", "", "logits", dataset="e", value=7.12345),
    ]
    expected = {
        "d": {
            "zero-shot": {"Overall": 20.0},
            "vpt-la": {"Overall": 50.5, "D-Few": 40.0},
            "vpt-la-logits": {"Overall": 60.0},
        },
        "e": {"zero-shot-logits": {"Overall": 7.123}},
    }
    for order in itertools.islice(itertools.permutations(rows), 3):
        assert headline(pd.DataFrame(list(order))) == expected


def test_nothing_scored() -> None:
    assert headline(pd.DataFrame([row("a")])[:0]) == {}
