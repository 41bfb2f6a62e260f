"""The tables of the paper: every cell against the row of the score table it shows."""

from dataclasses import replace

import pandas as pd
import pytest

from dualtail.errors import UserError
from dualtail.paper.layout import best_cells, to_latex, to_markdown
from dualtail.paper.lookup import Cell
from dualtail.paper.published import published_numbers
from dualtail.paper.tables import TABLES, build_table
from dualtail.paper.variants import GLA_TRAIN
from dualtail.scores.schema import as_frame, concatenate


def value(scores, **wanted):
    defaults = {"metric": "accuracy", "adjustment": "", "fusion": ""}
    rows = scores[~scores["split"].str.startswith("occlusion-")]
    for name, wish in (defaults | wanted).items():
        rows = rows[rows[name] == wish]
    assert len(rows) == 1
    return rows.iloc[0]["value"]


def cell(table, row, column):
    found = table.cells.loc[row, column]
    return found.value if isinstance(found, Cell) else found


def with_inat(context):
    return replace(context, roles=context.roles | {"world_objects": "inat2018"})


def test_table_1(scores, context):
    table = build_table(1, scores, context)
    assert table.cells.shape == (3, 6)
    assert cell(table, ("MetaCLIP",), ("World-Places", "D-Few")) == value(
        scores, kind="zero-shot", members="metaclip", dataset="world_places", group="D-Few"
    )


def test_table_2(scores, context):
    table = build_table(2, scores, context)
    assert table.cells.shape == (3, 3)
    for column, kind, loss in (
        ("ZS", "zero-shot", ""),
        ("CE", "tuned", "ce"),
        ("LA", "tuned", "la"),
    ):
        assert cell(table, ("AdaptFormer", "CLIP-MetaCLIP"), (column,)) == value(
            scores,
            kind=kind,
            loss=loss,
            members="clip|metaclip",
            dataset="world_places",
            metric="average_gap",
        )


def test_table_3(scores, context):
    table = build_table(3, scores, context)
    methods = ["GLA", "GLA-ZS", "GLA-FT", "GLA-Train", "GLA-Train, first stage"]
    assert list(table.cells.index.get_level_values(1)) == 2 * methods
    assert [c[0] for c in table.cells.columns] == [
        "D-Many",
        "D-Medium",
        "D-Few",
        "P-Many",
        "P-Medium",
        "P-Few",
        "Overall",
    ]
    for method in ("GLA", "GLA-ZS", "GLA-FT"):
        assert cell(table, ("World-Objects", method), ("P-Few",)) == value(
            scores,
            kind="adjusted",
            adjustment=method.lower(),
            members="clip",
            dataset="world_objects",
            group="P-Few",
        )


def test_table_3_shows_gla_train_where_it_was_run(scores, context):
    table = build_table(3, scores, context)
    assert cell(table, ("World-Places", "GLA-Train"), ("Overall",)) == value(
        scores,
        kind="tuned",
        loss=GLA_TRAIN,
        members="clip",
        dataset="world_places",
        group="Overall",
    )
    without = build_table(3, scores[scores["loss"] != GLA_TRAIN], context)
    assert ("World-Places", "GLA-Train") not in without.cells.index


def test_table_4(scores, context):
    table = build_table(4, scores, context)
    assert list(table.cells.index.get_level_values(1)) == 2 * ["zero-shot", "CE", "LA"]
    for label, loss in (("zero-shot", ""), ("CE", "ce"), ("LA", "la")):
        assert cell(table, ("World-Places", label), ("D-Few",)) == value(
            scores, kind="knn", loss=loss, dataset="world_places", group="D-Few"
        )
    assert (
        "(k = 200, or all of them if there are fewer; weight exp(cosine / 0.1))" in table.notes[0]
    )


def test_table_4_leaves_out_what_has_no_bank(scores, context):
    table = build_table(4, scores, replace(context, without_val=("world_objects",)))
    assert set(table.cells.index.get_level_values(0)) == {"World-Places"}
    assert table.notes[-1].startswith("World-Objects has no validation split")
    with pytest.raises(UserError, match="no dataset has one"):
        build_table(4, scores, replace(context, without_val=tuple(context.datasets)))


def test_table_4_shows_gla_train_where_it_was_run(scores, context):
    la = scores[(scores["kind"] == "knn") & (scores["loss"] == "la")]
    more = pd.concat([scores, la.assign(loss=GLA_TRAIN)], ignore_index=True)
    assert ("World-Objects", "GLA-Train") in build_table(4, more, context).cells.index


def test_table_5_sets_this_run_beside_published_methods(scores, context):
    table = build_table(5, scores, context)
    published, here = "Published, on Places365-LT", "This run, on World-Places"
    assert cell(table, (published, "LIFT"), ("Overall",)) == 51.5
    assert cell(table, (published, "VL-LTR"), ("Extra data",)) == "yes"
    assert cell(table, (published, "Decoder"), ("D-Few",)) is None
    assert cell(table, (published, "Ours (the paper's fusion)"), ("D-Few",)) == 52.54
    single, whole = (here, "CLIP with LA"), (here, "3 models with LA, fused by probabilities")
    assert cell(table, single, ("D-Few",)) == value(
        scores, kind="tuned", loss="la", members="clip", dataset="world_places", group="D-Few"
    )
    assert cell(table, whole, ("Overall",)) == value(
        scores,
        kind="fused",
        fusion="probabilities",
        members="clip+openclip+metaclip",
        dataset="world_places",
        group="Overall",
    )
    # World-Places is tuned for 7 epochs; parameters of the members are 1e4, 2e4, 3e4.
    assert [cell(table, row, ("Epochs",)) for row in (single, whole)] == [7.0, 7.0]
    parameters = [cell(table, row, ("Params (M)",)) for row in (single, whole)]
    assert parameters == pytest.approx([0.01, 0.06])
    assert not any("with CE" in label for _, label in table.cells.index)


def test_best_of_other_images_is_sought_apart(scores, context):
    def marked(table):
        rows = [any(line) for line in best_cells(table)]
        return {source for (source, _), mark in zip(table.cells.index, rows, strict=True) if mark}

    apart = build_table(5, scores, context)
    assert len(marked(apart)) == 2
    assert apart.notes[0].startswith("World-Places is not Places365-LT, it takes its place")
    official = replace(context, official={"world_places": "places365_lt"})
    same = build_table(5, scores, official)
    assert len(marked(same)) == 1
    assert "takes its place" not in " ".join(same.notes)
    assert not any(line[1] or line[2] for line in best_cells(same))  # most parameters: no honor


def test_table_6_is_of_imagenet_and_7_needs_its_dataset(scores, context):
    table = build_table(6, scores, context)
    assert cell(table, ("Published, on ImageNet-LT", "GML"), ("Overall",)) == 78.0
    assert cell(table, ("This run, on World-Objects", "CLIP with LA"), ("Epochs",)) == 5.0
    with pytest.raises(UserError, match="table 7 is of iNaturalist2018: no dataset has the role"):
        build_table(7, scores, context)
    table = build_table(7, scores, with_inat(context))
    assert cell(table, ("Published, on iNaturalist2018", "LPT"), ("D-Few",)) == 79.3


def test_fused_ce_is_shown_where_it_was_scored(scores, context):
    fused = scores[(scores["kind"] == "fused") & (scores["fusion"] == "logits")]
    cost = scores[scores["kind"] == "cost"]
    more = pd.concat([scores, fused.assign(loss="ce"), cost.assign(loss="ce")])
    labels = build_table(5, more, context).cells.index.get_level_values(1)
    assert "3 models with CE, fused by logits" in labels


def test_table_8(scores, context):
    table = build_table(8, scores, context)
    assert len(table.cells) == 3 + 4 + 4
    assert cell(table, ("Single", "OpenCLIP"), ("World-Places", "Overall")) == value(
        scores,
        kind="tuned",
        loss="la",
        members="openclip",
        dataset="world_places",
        group="Overall",
    )
    for label, mode in (("Fused, logits", "logits"), ("Fused, probabilities", "probabilities")):
        row = (label, "CLIP + OpenCLIP + MetaCLIP")
        assert cell(table, row, ("World-Objects", "D-Few")) == value(
            scores,
            kind="fused",
            fusion=mode,
            members="clip+openclip+metaclip",
            dataset="world_objects",
            group="D-Few",
        )


def test_table_8_with_two_members(scores, context):
    two = replace(context, members={"clip": "CLIP", "metaclip": "MetaCLIP"})
    assert len(build_table(8, scores, two).cells) == 4


def test_table_9(scores, context):
    table = build_table(9, scores, context)
    rows = [("M=1", "CLIP"), ("M=2", "CLIP + OpenCLIP"), ("M=3", "CLIP + OpenCLIP + MetaCLIP")]
    assert list(table.cells.index) == rows
    gflops = [cell(table, row, ("GFLOPs",)) for row in rows]
    assert gflops == pytest.approx([0.5, 1.5, 3.0])
    training = [cell(table, row, ("GFLOPs, training",)) for row in rows]
    assert training == pytest.approx([0.9, 2.7, 5.4])
    speed = [cell(table, row, ("Images/s",)) for row in rows]
    assert speed == pytest.approx([3000, 1 / (1 / 3000 + 1 / 6000), 1 / (11 / 18000)])
    assert [cell(table, row, ("Trained parameters",)) for row in rows] == [1e4, 3e4, 6e4]
    assert [cell(table, row, ("Published",)) for row in rows] == [239.06, 478.13, 717.19]
    assert any("35.36 GFLOPs" in note for note in table.notes)


def test_table_10(scores, context):
    table = build_table(10, scores, context)
    assert cell(table, ("Epochs",), ("World-Objects",)) == "5"
    assert cell(table, ("Epochs",), ("World-Places",)) == "7"
    assert cell(table, ("Weight decay",), ("World-Places",)) == "0.0005"
    with pytest.raises(UserError, match=r"tuning\.lr"):
        build_table(10, scores, replace(context, config={}))


def test_table_11_is_table_8_of_the_second_peft(scores, context):
    with pytest.raises(UserError, match="at least two"):
        build_table(11, scores, context)
    swapped = replace(context, pefts={"vpt": "VPT", "adaptformer": "AdaptFormer"})
    assert build_table(11, scores, swapped).cells.equals(build_table(8, scores, context).cells)


def test_tables_of_several_pefts_say_the_seeds_of_each(scores, context):
    vpt = as_frame(scores[scores["peft"] == "adaptformer"].assign(peft="vpt"))
    adaptformer = as_frame(scores[scores["peft"] == "adaptformer"].assign(seed=1))
    both = concatenate([scores, vpt, adaptformer])
    pefts = {"adaptformer": "AdaptFormer", "vpt": "VPT"}
    own = replace(context, pefts=pefts, seeds=(0, 1), peft_seeds={"vpt": (0,)})
    assert "seeds 0 and 1 (AdaptFormer), the tuning seed 0 alone (VPT)" in " ".join(
        build_table(2, both, own).notes
    )
    eight, eleven = (build_table(number, both, own) for number in (8, 11))
    assert "seeds 0 and 1;" in eight.notes[1]
    assert "seed 0 alone;" in eleven.notes[1]


def test_table_14_has_the_truth_beside_the_estimate(scores, context):
    table = build_table(14, scores, context)
    assert cell(table, ("World-Places", "estimated"), ("OpenCLIP",)) == 13.0
    assert cell(table, ("World-Places", "true"), ("OpenCLIP",)) == pytest.approx(12.0)
    unknown = build_table(14, scores, replace(context, priors={}))
    assert list(unknown.cells.index.get_level_values(1)) == ["estimated", "estimated"]


def test_table_16_is_laid_out_as_published(scores, context):
    table = build_table(16, scores, context)
    published = published_numbers("table16")
    ours = context.confounder.samples.read_text()
    assert "cat" in ours
    assert [c[0] for c in table.cells.columns] == list(dict.fromkeys(published["column"]))
    for name in ("cat", "truck"):
        for row in published[published["row"] == name].itertuples():
            assert table.cells.loc[(name,), (row.column,)] == row.value
    means = {}
    for train in "AB":
        for test in "AB":
            rows = scores[
                (scores["members"] == f"resnet32.{train}") & (scores["metric"] == "accuracy")
            ]
            values = rows[rows["split"] == f"{test}_test"]["value"]
            means[train, test] = f"{values.mean():.1f} ± {values.std():.1f} on {test}_test"
    assert table.notes[-2:] == tuple(
        f"trained on {train}_train: {means[train, 'A']}, {means[train, 'B']}." for train in "AB"
    )
    assert (
        "40 to train on, 100 to test on. A: 50 % C=0, 50 % C=1, B: 90 % C=0, 10 % C=1"
        in table.notes[0]
    )


@pytest.mark.parametrize("number", [n for n in TABLES if n != 10])
def test_missing_rows_are_named(scores, context, number):
    extended = replace(context, pefts={"adaptformer": "AdaptFormer", "vpt": "VPT"})
    extended = with_inat(extended) if number == 7 else extended
    with pytest.raises(UserError, match=r"lack the .* of .*make these outputs and score them"):
        build_table(number, scores[scores["dataset"] == "nowhere"], extended)


@pytest.mark.parametrize("number", [2, 8])
def test_one_member(scores, context, number):
    alone = replace(context, members={"clip": "CLIP"})
    if number == 2:
        with pytest.raises(UserError, match="at least two"):
            build_table(2, scores, alone)
    else:
        assert len(build_table(8, scores, alone).cells) == 1


def test_unknown_tables_are_refused(scores, context):
    with pytest.raises(UserError, match="table 99: not built here; known: 1, 2"):
        build_table(99, scores, context)


def test_table_12(scores, context):
    table = build_table(12, scores, context)
    assert [*table.cells.index] == [
        (dataset, method)
        for dataset in ("World-Objects", "World-Places")
        for method in ("LA", "Decoupling")
    ]
    for method, loss in (("LA", "la"), ("Decoupling", "decoupling")):
        assert cell(table, ("World-Places", method), ("D-Few",)) == value(
            scores, kind="tuned", loss=loss, members="clip", dataset="world_places", group="D-Few"
        )
    with pytest.raises(
        UserError, match=r"lack the accuracy .* 'tuned clip adaptformer decoupling'"
    ):
        build_table(12, scores[scores["loss"] != "decoupling"], context)


def test_all_render(scores, context):
    for number in set(TABLES) - {11}:
        table = build_table(number, scores, with_inat(context) if number == 7 else context)
        assert table.stem == f"table_{number:02d}"
        assert to_markdown(table).startswith(f"**Table {number}. ")
        assert to_latex(table).count(r"\begin{tabular}") == 1
