"""Figures 1, 4, 5, 8, 10 and Table 15: what they draw, against what they are made from."""

from dataclasses import replace

import numpy as np
import pytest

from dualtail.errors import UserError
from dualtail.explain.examples import Examples
from dualtail.paper.figures import build_figure
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.tables import build_table

TUNING = {"peft": "adaptformer", "loss": "la", "seed": 0}
ALL = "clip+openclip+metaclip"


def test_figure_5_has_the_causal_graph_of_section_5_1(scores, per_class, context):
    data = build_figure(5, ScoreLookup(scores, context, per_class)).data
    graph = {("D", "C"), ("C", "X"), ("U", "X"), ("X", "B"), ("B", "Y"), ("C", "Y")}
    cut = {}
    for panel in ("observed", "intervention"):
        edges = data[(data["kind"] == "edge") & (data["panel"] == panel)]
        assert set(zip(edges["source"], edges["target"], strict=True)) == graph
        removed = edges[edges["cut"].astype(bool)]
        cut[panel] = set(zip(removed["source"], removed["target"], strict=True))
    assert cut == {"observed": set(), "intervention": {("C", "X")}}


def test_figure_1_shows_what_earlier_methods_ignore(scores, per_class, context):
    figure = build_figure(1, ScoreLookup(scores, context, per_class))
    edges = figure.data[figure.data["kind"] == "edge"].set_index("source")
    assert edges["dashed"].to_dict() == {
        "pre-training data": True,
        "foundation model": False,
        "downstream data": False,
        "tuned model": False,
    }
    bars = figure.data[figure.data["kind"] == "bar"].groupby("panel")["y"].apply(list)
    q = context.priors["world_places", "clip"]["q"]
    assert bars["pre-training data"] == pytest.approx(sorted(q, reverse=True))
    assert bars["downstream data"] == 6 * [200.0] + 6 * [50.0] + 6 * [5.0]


def test_figure_5_has_a_lane_a_member_and_the_runs_priors(scores, per_class, context):
    data = build_figure(5, ScoreLookup(scores, context, per_class)).data
    edges = data[data["kind"] == "edge"]
    for member in context.members:
        assert ((edges["source"] == f"factor {member}") & (edges["target"] == "mean")).any()
        bars = data[data["panel"] == f"q of {member}"]["y"]
        q = context.priors["world_places", member]["q"]
        assert sorted(q, reverse=True) == pytest.approx(bars.tolist())
    counts = data[data["panel"] == "training images"]["y"].tolist()
    assert counts == 6 * [200.0] + 6 * [50.0] + 6 * [5.0]
    one = replace(context, members={"clip": "CLIP"}, priors={})
    assert "q of clip" not in set(
        build_figure(5, ScoreLookup(scores, one, per_class)).data["panel"]
    )


def test_figure_4_draws_maps_and_shares(scores, per_class, context, grad_cam):
    built = build_figure(4, ScoreLookup(scores, context, per_class))
    maps = built.data[built.data["panel"] == "maps"]
    assert len(maps) == 3 * 7
    examples = context.examples["world_places"]
    row = maps[(maps["model"] == "OpenCLIP") & (maps["loss"] == "LA")].iloc[0]
    shown = {"members": "openclip"} | TUNING
    assert row["confidence"] == pytest.approx(examples.confidence(**shown)[0, 0])
    heat = examples.map_of(**shown)[0].astype(float)
    x, y = np.meshgrid((np.arange(12) + 0.5) / 12, (np.arange(12) + 0.5) / 12)
    assert row["center_x"] == pytest.approx((heat * x).sum() / heat.sum(), rel=1e-5)
    assert row["center_y"] == pytest.approx((heat * y).sum() / heat.sum(), rel=1e-5)
    empty = maps[(maps["image"] == "both/1.png") & (maps["model"] == "OpenCLIP")]
    assert empty[empty["loss"] == "CE"]["center_x"].isna().all()
    shares = built.data[built.data["panel"] == "shares"]
    assert len(shares) == 7 * 3
    fused = shares[(shares["model"] == "Fused") & (shares["region"] == "body")].iloc[0]
    wanted = grad_cam.query(
        "dataset == 'world_places' and fusion == 'logits' and region == 'body'"
    ).iloc[0]
    assert fused["share_over_area"] == pytest.approx(wanted["share"] / wanted["area"])


def test_figure_4_without_known_regions_and_with_one_member(scores, per_class, context):
    empty = context.grad_cam[:0]
    built = build_figure(4, ScoreLookup(scores, replace(context, grad_cam=empty), per_class))
    assert set(built.data["panel"]) == {"maps"}
    one = replace(context, members={"clip": "CLIP"}, grad_cam=None)
    assert set(build_figure(4, ScoreLookup(scores, one, per_class)).data["model"]) == {"CLIP"}


def test_figure_10_shows_images_that_figure_4_does_not(scores, per_class, context):
    four, ten = (build_figure(n, ScoreLookup(scores, context, per_class)).data for n in (4, 10))
    assert set(ten["dataset"]) == set(context.datasets)
    places = ten[ten["dataset"] == "world_places"]
    assert not set(places["image"]) & set(four["image"].dropna())
    assert len(ten) == 2 * 3 * 7


def test_figure_8_hides_either_part(scores, per_class, context):
    data = build_figure(8, ScoreLookup(scores, context, per_class)).data
    examples = context.examples["world_places"]
    assert len(data) == 4 * 4 * 2
    for image, condition in ((1, "head"), (2, "head"), (3, "body"), (4, "body")):
        own = data[data["image"] == image]
        assert set(own["condition"]) == {"both", condition}
        k = list(examples.header.conditions).index(condition)
        hidden = own[own["condition"] == condition].set_index("model")["confidence"]
        for label, shown in (
            ("MetaCLIP", {"members": "metaclip"}),
            ("Fused", {"members": ALL, "fusion": "logits"}),
        ):
            expected = examples.confidence(**shown, **TUNING)[image - 1, k]
            assert hidden[label] == pytest.approx(expected)


def without_occlusion(examples: Examples) -> Examples:
    header = examples.header.model_copy(update={"conditions": {"visible": "visible"}})
    return Examples(header, examples.pictures[:, :1], examples.confidences[:, :1], examples.heat)


def test_what_is_missing_is_said(scores, per_class, context):
    plain = {d: without_occlusion(e) for d, e in context.examples.items()}
    bare = replace(context, examples=plain)
    with pytest.raises(UserError, match=r"figure 8: .*set datasets\.NAME\.occlusion"):
        build_figure(8, ScoreLookup(scores, bare, per_class))
    with pytest.raises(UserError, match=r"table 15: .*set datasets\.NAME\.occlusion"):
        build_table(15, ScoreLookup(scores, bare))
    with pytest.raises(UserError, match="no explained images of world_places"):
        build_figure(4, ScoreLookup(scores, replace(context, examples={}), per_class))
    with pytest.raises(UserError, match="lack the Grad-CAM map of 'other"):
        build_figure(
            4, ScoreLookup(scores, replace(context, members={"other": "Other"}), per_class)
        )


def test_one_dataset_with_hidden_parts_is_enough(scores, per_class, context):
    mixed = dict(context.examples)
    mixed["world_places"] = without_occlusion(mixed["world_places"])
    some = replace(context, examples=mixed)
    assert set(build_figure(8, ScoreLookup(scores, some, per_class)).data["dataset"]) == {
        "world_objects"
    }
    table = build_table(15, ScoreLookup(scores, some))
    assert set(table.cells.index.get_level_values(0)) == {"World-Objects"}
