"""The figures: what they draw, and their files."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dualtail.errors import UserError
from dualtail.paper.contents import FIGURES
from dualtail.paper.figures import build_figure
from dualtail.paper.heatmap import draw
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.style import write_figure
from dualtail.scores.bootstrap import Estimate


def test_figure_2_data_are_the_nine_groups(scores, per_class, context):
    data = build_figure(2, ScoreLookup(scores, context, per_class)).data
    assert len(data) == 18
    assert data["panel"].tolist() == 9 * ["CE"] + 9 * ["LA"]
    row = data.query("panel == 'LA' and p_group == 'P-Few' and d_group == 'D-Many'").iloc[0]
    expected = scores.query(
        "dataset == 'world_places' and kind == 'tuned' and members == 'clip' and loss == 'la' "
        "and group == 'D-Many/P-Few' and metric == 'accuracy'"
    ).iloc[0]
    assert (row["value"], row["low"], row["high"]) == tuple(
        expected[["value", "ci_low", "ci_high"]]
    )


def test_figure_6_data_are_the_fusion_and_its_gain(scores, per_class, context):
    data = build_figure(6, ScoreLookup(scores, context, per_class)).data.set_index(
        ["panel", "p_group", "d_group"]
    )["value"]
    single = build_figure(2, ScoreLookup(scores, context, per_class)).data.query("panel == 'LA'")
    single = single.set_index(["p_group", "d_group"])["value"]
    for key in single.index:
        assert data["fused", *key] - single[key] == pytest.approx(data["gain", *key], abs=1e-5)


def test_figure_3_data_are_sorted_class_accuracies(scores, per_class, context):
    built = build_figure(3, ScoreLookup(scores, context, per_class))
    panels = [ax.get_title() for ax in built.figure.axes]
    assert panels == [
        f"({letter}) {label}, sorted by {order}"
        for letter, label in (("a", "World-Objects"), ("b", "World-Places"))
        for order in (r"training prior $\pi_S$", "pre-training prior $q$")
    ]
    assert len(built.data) == 2 * 2 * 3 * 18
    for keys, part in built.data.groupby(["dataset", "order", "curve"]):
        assert part["rank"].tolist() == list(range(1, 19))
        assert part[keys[1]].is_monotonic_decreasing
        assert sorted(part["class_index"]) == list(range(18))
    for dataset, label in context.datasets.items():
        wanted = {"dataset": dataset, "kind": "tuned", "members": "clip", "loss": "la"}
        mine = per_class[(per_class[list(wanted)] == pd.Series(wanted)).all(axis=1)]
        la = built.data[built.data["dataset"] == label].query("order == 'q' and curve == 'LA'")
        found = la.set_index("class_index")["accuracy"]
        assert found.sort_index().to_dict() == mine.set_index("class_index")["accuracy"].to_dict()


@pytest.mark.parametrize(
    ("datasets", "roles", "shown"),
    [
        (["other", "world_places", "world_objects"], {}, ["World-Places", "World-Objects"]),
        (["world_places"], {}, ["World-Places"]),
        (["world_objects", "world_places"], {"world_places": "inat2018"}, None),
    ],
)
def test_figure_3_takes_the_datasets_that_there_are(
    scores, per_class, context, datasets, roles, shown
):
    labels = context.datasets | {"other": "Other"}
    own = {name: labels[name] for name in datasets}
    some = replace(context, datasets=own, roles=context.roles | roles)
    built = build_figure(3, ScoreLookup(scores, some, per_class))
    expected = shown or ["World-Objects", "World-Places"]
    assert list(dict.fromkeys(built.data["dataset"])) == expected
    assert len(built.figure.axes) == 2 * len(expected)


def test_a_class_without_test_images_is_left_out_of_the_curves(scores, per_class, context):
    lost = per_class["class_index"] == 4
    holes = per_class.assign(accuracy=per_class["accuracy"].mask(lost))
    for number in (3, 9):
        data = build_figure(number, ScoreLookup(scores, context, holes)).data
        gone = data["class_index"] == 4
        assert data.loc[gone, "accuracy"].isna().all()
        assert data.loc[~gone, "accuracy"].notna().all()
    curve = data[data["curve"] == "tuned"].set_index("rank")
    known = curve["accuracy"].dropna()
    for rank in curve.index:  # 18 classes: a standard deviation of one class
        weights = np.exp(-0.5 * (known.index - rank) ** 2)
        assert curve.loc[rank, "smoothed"] == pytest.approx(np.average(known, weights=weights))


def test_figure_7_has_the_original_beside_the_constructed_sets(scores, per_class, context):
    order = ["consistency", "reverse", "balance"]
    counts = {name: np.random.default_rng(k).permutation(18) + 1.0 for k, name in enumerate(order)}
    rows = per_class["dataset"].str.extract(r"^world_places\.(\w+)\.1$")[0]
    changed = [
        counts[name][index] if isinstance(name, str) else before
        for name, index, before in zip(
            rows, per_class["class_index"], per_class["train_count"], strict=True
        )
    ]
    classes = per_class.assign(train_count=changed)
    built = build_figure(7, ScoreLookup(scores, context, classes))
    assert [ax.get_title() for ax in built.figure.axes] == [
        "(a) original World-Places", "(b) consistent", "(c) reversed", "(d) balanced"
    ]  # fmt: skip
    original = per_class.query("dataset == 'world_places'").drop_duplicates("class_index")
    counts["original"] = original["train_count"].to_numpy(float)
    for name, drawn in zip(["original", *order], built.figure.axes, strict=True):
        part = built.data[built.data["order"] == name].set_index("class_index")
        expected = counts[name] / counts[name].sum()
        assert part["pi_s"].to_numpy() == pytest.approx(expected)
        assert part["q"].to_numpy() == pytest.approx(original["q"].to_numpy())
        assert drawn.lines[0].get_xdata() == pytest.approx(expected)


def test_figure_9_is_the_mean_over_its_own_seeds(scores, per_class, context):
    data = build_figure(9, ScoreLookup(scores, context, per_class)).data
    assert data["curve"].tolist() == ["tuned"] * 18 + ["scratch"] * 18
    scratch = data[data["curve"] == "scratch"]
    assert scratch["q"].is_monotonic_decreasing
    rows = per_class.query("kind == 'scratch' and dataset == 'world_objects'")
    assert sorted(rows["seed"].unique()) == [0, 1], "the context's seeds are (0,)"
    expected = rows.groupby("class_index")["accuracy"].mean()
    found = scratch.set_index("class_index")["accuracy"].sort_index()
    np.testing.assert_allclose(found, expected.sort_index())
    legend = [
        t.get_text()
        for t in build_figure(9, ScoreLookup(scores, context, per_class)).figure.legends[0].texts
    ]
    overall = scores.query("kind == 'scratch' and group == 'Overall' and metric == 'accuracy'")
    overall = overall.query("dataset == 'world_objects'")["value"].mean()
    assert f"ResNet-20 (width 8) from scratch: overall {overall:.1f} %" in legend[1]
    assert legend[0].startswith("CLIP, AdaptFormer: ")


def test_figure_11_shows_every_sample_in_its_row_and_panel(scores, per_class, context):
    figure = build_figure(11, ScoreLookup(scores, context, per_class))
    panels = [ax.images[0].get_array() for ax in figure.figure.axes]
    assert [len(ax.get_yticks()) for ax in figure.figure.axes] == [2, 2]
    names = [t.get_text() for t in figure.figure.axes[0].get_yticklabels()]
    assert names == ["cat\nhead", "truck\nhead"]
    for label in range(2):
        for factor, panel in enumerate(panels):
            height = panel.shape[0] // 2
            rows = panel[label * height : (label + 1) * height]
            colors = {tuple(pixel) for pixel in rows.reshape(-1, 3).tolist()} - {(255, 255, 255)}
            assert colors == {(50 * label, 50 * factor, number) for number in range(3)}
    assert len(figure.data) == 2 * 2 * 3
    assert figure.data["sha256"].nunique() == 12


def test_figure_12_is_the_mean_and_the_extremes_over_seeds(scores, per_class, context):
    figure = build_figure(12, ScoreLookup(scores, context, per_class))
    row = figure.data.query("train_set == 'B' and test_set == 'A' and epoch == 2").iloc[0]
    assert (row["mean"], row["lowest"], row["highest"]) == (46.0, 42.0, 50.0)
    assert len(figure.data) == 2 * 2 * 2
    labels = [t.get_text() for t in figure.figure.axes[0].get_legend().texts]
    values = six_class_values(scores, "B", "A_test")
    mean, deviation = np.mean(values), np.std(values, ddof=1)
    assert labels[1] == f"trained on B_train: {mean:.1f} ± {deviation:.1f} %"


def six_class_values(scores, train, split):
    rows = scores.query("dataset == 'six_classes' and metric == 'accuracy' and group == 'Overall'")
    return rows[(rows["members"] == f"resnet32.{train}") & (rows["split"] == split)]["value"]


def test_a_run_without_the_study_or_the_scratch_network(scores, per_class, context):
    without = replace(context, confounder=None)
    for number in (11, 12):
        with pytest.raises(UserError, match="no six-class study"):
            build_figure(number, ScoreLookup(scores, without, per_class))
    with pytest.raises(UserError, match="make these outputs and score them"):
        build_figure(
            12, ScoreLookup(scores[scores["dataset"] != "six_classes"], context, per_class)
        )
    with pytest.raises(UserError, match="set `scratch` in the config"):
        build_figure(9, ScoreLookup(scores, replace(context, config={}), per_class))
    with pytest.raises(UserError, match="lack 'scratch resnet20 la'"):
        build_figure(9, ScoreLookup(scores, context, per_class[per_class["kind"] != "scratch"]))


@pytest.mark.parametrize("number", [2, 11])
def test_files_are_complete_and_equal_in_two_runs(scores, per_class, context, number, tmp_path):
    """Whatever the user's own matplotlib settings are."""
    import matplotlib as mpl

    written = []
    for folder, own in (("a", {}), ("b", {"font.size": 20, "axes.facecolor": "red"})):
        with mpl.rc_context(own):
            figure = build_figure(number, ScoreLookup(scores, context, per_class))
            written.append(write_figure(figure, tmp_path / folder))
    assert [p.name for p in written[0]] == [
        f"figure_{number:02d}{s}" for s in (".pdf", ".png", ".csv", ".md", ".rst")
    ]
    pdf, png, csv, md, _ = (p.read_bytes() for p in written[0])
    assert pdf.startswith(b"%PDF")
    assert b"CreationDate" not in pdf
    assert png.startswith(b"\x89PNG")
    assert len(png) > 10_000
    assert csv.count(b"\n") > 8
    assert f"**Figure {number}. {figure.title}.** {figure.caption}".encode() in md
    for one, two in zip(*written, strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_the_report_of_snakemake_reads_the_caption_as_it_is(scores, per_class, context, tmp_path):
    from docutils.core import publish_doctree
    from jinja2 import Environment

    hostile = r"{{ 7 * 7 }} {% if %} *a* **b** `c`_ |d| e_ <f> \g .. h:: (%, P(Y|X)) {# i #}"
    figure = replace(build_figure(2, ScoreLookup(scores, context, per_class)), caption=hostile)
    (rst,) = [p for p in write_figure(figure, tmp_path) if p.suffix == ".rst"]
    text = Environment(trim_blocks=True, lstrip_blocks=True).from_string(rst.read_text()).render()
    assert publish_doctree(text).astext() == f"{figure.heading}. {hostile}"


SMALLER = {
    "one member": ({"members": {"clip": "CLIP"}}, (1, 3, 4, 5, 9, 10)),
    "one dataset": ({"datasets": {"world_places": "World-Places"}}, (1, 3, 4, 5, 7, 10)),
    "whole": ({}, tuple(FIGURES)),
}


@pytest.mark.parametrize(
    ("run_is", "number"), [(name, n) for name, (_, numbers) in SMALLER.items() for n in numbers]
)
def test_texts_are_on_the_page_apart_and_no_nan(
    scores, per_class, context, monkeypatch, run_is, number
):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    own = replace(context, **SMALLER[run_is][0])
    figure = build_figure(number, ScoreLookup(scores, own, per_class)).figure
    figure.set_dpi(100)
    drawn, draw_text = [], Text.draw
    monkeypatch.setattr(Text, "draw", lambda self, *a: [drawn.append(self), draw_text(self, *a)])
    FigureCanvasAgg(figure).draw()  # labels of ticks beyond an axis are there, but not drawn
    shown = [t for t in drawn if t.get_visible() and t.get_text().strip()]
    boxes = [(t.get_text(), t.get_window_extent()) for t in shown]
    assert boxes
    for text, box in boxes:
        assert "nan" not in text
        assert min(box.x0, box.y0) > -1, text
        assert box.x1 < figure.bbox.x1 + 1, text
        assert box.y1 < figure.bbox.y1 + 1, text
    for (one, a), (two, b) in itertools.combinations(boxes, 2):
        shared = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(shared) < 1, f"{one!r} lies over {two!r}"


def test_numbers_contrast_with_their_groups_and_empty_ones_say_so():
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    groups = [[Estimate(float(10 * (3 * i + j)), 0.0, 4.0) for j in range(3)] for i in range(3)]
    groups[1][1] = Estimate(float("nan"))
    image = draw(axes, groups, title="t", limits=(0, 80), colormap="viridis")
    brightness = np.array([0.2126, 0.7152, 0.0722])
    backgrounds = image.to_rgba(image.get_array())[..., :3].reshape(3, 3, 3)
    texts = {}
    for text in axes.texts:
        x, y = text.get_position()
        texts.setdefault((int(y), int(x)), []).append(text)
    for (i, j), found in texts.items():
        if (i, j) == (1, 1):
            assert [text.get_text() for text in found if text.get_text()] == ["no class"]
            continue
        assert [text.get_text() for text in found] == [f"{10 * (3 * i + j):.1f}", "± 2.0"]
        for text in found:
            ink = np.array(to_rgb(text.get_color())) @ brightness
            assert abs(ink - backgrounds[i, j] @ brightness) > 0.3


def test_bad_input_is_refused(scores, per_class, context):
    nowhere = scores[scores["dataset"] == "nowhere"]
    for number in (2, 6):
        with pytest.raises(UserError, match="make these outputs and score them"):
            build_figure(number, ScoreLookup(nowhere, context, per_class))
    for number, classes, message in (
        (3, per_class[per_class["loss"] != "la"], "make these outputs and score them"),
        (3, per_class.assign(q=float("nan")), "lack q"),
        (7, per_class[per_class["dataset"] == "world_places"], "make the study of Table 13"),
        (99, None, "figure 99: not built here; known: 1, 2, 3"),
    ):
        with pytest.raises(UserError, match=message):
            build_figure(number, ScoreLookup(scores, context, classes))
    with pytest.raises(UserError, match="at least two"):
        build_figure(6, ScoreLookup(scores, replace(context, members={"clip": "CLIP"}), per_class))
