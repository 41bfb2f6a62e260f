"""Which pairs are compared."""

from dualtail.outputs import OutputsHeader
from dualtail.scores.comparisons import comparisons, joined


def header(kind, members, **more):
    return OutputsHeader(
        kind=kind,
        dataset="d",
        split="test",
        split_hash="h",
        class_names=["a", "b"],
        members=members.split("+"),
        **more,
    )


TUNED = {"peft": "adaptformer", "seed": 0}
HEADERS = [
    header("zero-shot", "clip"),
    header("zero-shot", "openclip"),
    header("tuned", "clip", loss="ce", **TUNED),
    header("tuned", "clip", loss="la", **TUNED),
    header("tuned", "openclip", loss="la", **TUNED),
    header("tuned", "clip", loss="la", peft="vpt", seed=0),
    header("adjusted", "clip", loss="ce", adjustment="gla", **TUNED),
    header("fused", "clip+openclip", loss="la", fusion="logits", **TUNED),
    header("fused", "clip+openclip", fusion="logits"),
    header("tuned", "clip", loss="gla_train", **TUNED),
    header("knn", "clip"),
    header("knn", "clip", loss="ce", **TUNED),
    header("knn", "clip", loss="la", **TUNED),
]


def names(what):
    rows = []
    for left, right, kind in comparisons(HEADERS):
        if kind == what:
            columns = joined(HEADERS[left], HEADERS[right])
            rows.append((columns["kind"], columns["members"], columns["loss"]))
    return rows


def test_gaps_are_between_models_alike_but_for_the_member():
    assert names("gap") == [
        ("zero-shot", "clip|openclip", ""),
        ("tuned", "clip|openclip", "la"),
    ]


def test_gains_are_those_of_the_paper():
    assert sorted(names("gain")) == sorted(
        [
            ("tuned", "clip", "la|ce"),
            ("tuned", "clip", "gla_train|la"),
            ("knn", "clip", "la|ce"),
            ("adjusted", "clip", "ce|la"),
            ("fused", "clip+openclip|clip", "la"),
            ("fused", "clip+openclip|openclip", "la"),
            ("fused", "clip+openclip|clip", ""),
            ("fused", "clip+openclip|openclip", ""),
        ]
    )


def test_a_fusion_is_compared_with_those_of_one_member_less():
    fused = {"loss": "la", "fusion": "logits"} | TUNED
    headers = [
        header("fused", "a+b", **fused),
        header("fused", "b+c", **fused),
        header("fused", "a+d", **fused),
        header("fused", "a+b+c", **fused),
        header("fused", "a+b+c", **(fused | {"fusion": "probabilities"})),
        header("fused", "a+b+c+d", **fused),
        header("fused", "a+b", fusion="logits"),
    ]
    found = [(x, y) for x, y, _ in comparisons(headers)]
    assert set(found) == {(3, 0), (3, 1), (5, 3), (3, 4)}
    assert joined(headers[3], headers[0])["members"] == "a+b+c|a+b"


def test_ways_of_fusing_are_compared_in_their_order():
    rules = [
        header("fused", members, loss="la", fusion=rule, **TUNED)
        for members in ("a+b", "b+c")
        for rule in ("logits", "probabilities", "mine")
    ]
    found = [(x, y) for x, y, _ in comparisons(rules)]
    assert found == [(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5)]
    columns = joined(rules[0], rules[1])
    assert (columns["fusion"], columns["members"]) == ("logits|probabilities", "a+b")
    assert joined(rules[0], header("tuned", "a", loss="la", **TUNED))["fusion"] == "logits"


def test_the_ensemble_of_seeds_is_compared_with_each_of_them():
    headers = [
        header("tuned", "a", loss="la", peft="vpt", seed=0),
        header("tuned", "a", loss="la", peft="vpt", seed=1),
        header("tuned", "b", loss="la", peft="vpt", seed=1),
        header("fused", "a+a", loss="la", peft="vpt", fusion="ensemble"),
    ]
    found = [(x, y) for x, y, what in comparisons(headers) if what == "gain"]
    assert found == [(3, 0), (3, 1)]
    assert [joined(headers[3], headers[k])["seed"] for k in (0, 1)] == [0, 1]
