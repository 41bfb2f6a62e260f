"""The tables of the paper: cells against the row of the score table they show."""

from dataclasses import replace

import pandas as pd
import pytest

from dualtail.errors import UserError
from dualtail.paper.contents import TABLES
from dualtail.paper.layout import best_cells
from dualtail.paper.lookup import GLA_TRAIN, ScoreLookup
from dualtail.paper.published import published_numbers
from dualtail.paper.tables import build_table
from dualtail.scores.bootstrap import Estimate
from dualtail.scores.schema import as_frame, concatenate


def cell(table, row, column):
    found = table.cells.loc[row, column]
    return found.value if isinstance(found, Estimate) else found


def with_inat(context):
    return replace(context, roles=context.roles | {"world_objects": "inat2018"})


def test_gla_train_is_shown_where_it_was_run(scores, context):
    without = build_table(3, ScoreLookup(scores[scores["loss"] != GLA_TRAIN], context))
    assert ("World-Places", "GLA-Train") not in without.cells.index
    la = scores[(scores["kind"] == "knn") & (scores["loss"] == "la")]
    more = pd.concat([scores, la.assign(loss=GLA_TRAIN)], ignore_index=True)
    assert ("World-Objects", "GLA-Train") in build_table(4, ScoreLookup(more, context)).cells.index


def test_gla_with_two_scales_is_a_row_where_it_was_scored(scores, context):
    plain = build_table(3, ScoreLookup(scores, context))
    gla = scores[scores["adjustment"] == "gla"]
    more = pd.concat([scores, gla.assign(adjustment="gla-scaled")], ignore_index=True)
    table = build_table(3, ScoreLookup(more, context))
    rows = list(table.cells.index)
    assert [row for row in rows if row in list(plain.cells.index)] == list(plain.cells.index)
    added = [(label, "GLA, two scales") for label in context.datasets.values()]
    assert [row for row in rows if row not in list(plain.cells.index)] == added
    assert table.notes[1].startswith("GLA, two scales (not in the paper's table)")
    assert len(table.notes) == len(plain.notes) + 1


def test_table_4_leaves_out_what_has_no_bank(scores, context):
    table = build_table(4, ScoreLookup(scores, replace(context, without_val=("world_objects",))))
    assert set(table.cells.index.get_level_values(0)) == {"World-Places"}
    assert table.notes[-1].startswith("World-Objects has no validation split")
    assert "(k = 200, or all of them if there are fewer; weight exp(cosine / 0.1))" in "".join(
        table.notes
    )
    with pytest.raises(UserError, match="no dataset has one"):
        build_table(4, ScoreLookup(scores, replace(context, without_val=tuple(context.datasets))))


def test_best_of_other_images_is_sought_apart(scores, context):
    def marked(table):
        rows = best_cells(table).any(axis=1)
        return {source for (source, _), mark in zip(table.cells.index, rows, strict=True) if mark}

    apart = build_table(5, ScoreLookup(scores, context))
    assert len(marked(apart)) == 2
    assert apart.notes[0].startswith("World-Places is not Places365-LT, it takes its place")
    same = build_table(
        5, ScoreLookup(scores, replace(context, official={"world_places": "places365_lt"}))
    )
    assert len(marked(same)) == 1
    assert "takes its place" not in " ".join(same.notes)
    assert not best_cells(same)[:, 1:3].any()  # most parameters: no honor


def test_table_6_is_of_imagenet_and_7_needs_its_dataset(scores, context):
    table = build_table(6, ScoreLookup(scores, context))
    assert cell(table, ("Published, on ImageNet-LT", "GML"), ("Overall",)) == 78.0
    assert cell(table, ("This run, on World-Objects", "CLIP with LA"), ("Epochs",)) == 5.0
    with pytest.raises(UserError, match="table 7 is of iNaturalist2018: no dataset has the role"):
        build_table(7, ScoreLookup(scores, context))
    table = build_table(7, ScoreLookup(scores, with_inat(context)))
    assert cell(table, ("Published, on iNaturalist2018", "LPT"), ("D-Few",)) == 79.3


def test_table_10_needs_every_hyper_parameter(scores, context):
    with pytest.raises(UserError, match=r"tuning\.lr"):
        build_table(10, ScoreLookup(scores, replace(context, config={})))


def test_table_11_is_table_8_of_the_second_peft(scores, context):
    with pytest.raises(UserError, match="at least two"):
        build_table(11, ScoreLookup(scores, context))
    tuned = scores[scores["kind"].isin(["tuned", "fused"])]
    vpt = as_frame(tuned.assign(peft="vpt"))
    adaptformer = as_frame(tuned.assign(seed=1))
    both = concatenate([scores, vpt, adaptformer])
    pefts = {"adaptformer": "AdaptFormer", "vpt": "VPT"}
    own = replace(context, pefts=pefts, seeds=(0, 1), peft_seeds={"vpt": (0,)})
    assert "seeds 0 and 1 (AdaptFormer), the tuning seed 0 alone (VPT)" in " ".join(
        build_table(2, ScoreLookup(both, own)).notes
    )
    eight, eleven = (build_table(number, ScoreLookup(both, own)) for number in (8, 11))
    assert "VPT" in eleven.caption
    assert "seeds 0 and 1;" in eight.notes[1]
    assert "seed 0 alone;" in eleven.notes[1]


def test_table_14_has_the_truth_where_it_is_known(scores, context):
    unknown = build_table(14, ScoreLookup(scores, replace(context, priors={})))
    assert list(unknown.cells.index.get_level_values(1)) == ["estimated", "estimated"]


def test_table_16_is_laid_out_as_published(scores, context):
    table = build_table(16, ScoreLookup(scores, context))
    published = published_numbers("table16")
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


@pytest.mark.parametrize("number", [n for n in TABLES if n != 10])
def test_missing_rows_are_named(scores, context, number):
    extended = replace(context, pefts={"adaptformer": "AdaptFormer", "vpt": "VPT"})
    extended = with_inat(extended) if number == 7 else extended
    with pytest.raises(UserError, match=r"lack the .* of .*make these outputs and score them"):
        build_table(number, ScoreLookup(scores[scores["dataset"] == "nowhere"], extended))


def test_one_member(scores, context):
    alone = replace(context, members={"clip": "CLIP"})
    with pytest.raises(UserError, match="at least two"):
        build_table(2, ScoreLookup(scores, alone))
    assert len(build_table(8, ScoreLookup(scores, alone)).cells) == 1


def test_unknown_tables_are_refused(scores, context):
    with pytest.raises(UserError, match="table 99: not built here; known: 1, 2"):
        build_table(99, ScoreLookup(scores, context))


def test_a_loss_of_ones_own_is_a_row_with_its_label(scores, context):
    la = "kind == 'tuned' and members == 'clip' and loss == 'la'"
    own = scores.query(la).assign(loss="bs", value=lambda rows: rows["value"] / 2)
    named = replace(context, losses={"bs": "Balanced softmax"})
    for known, label in ((named, "Balanced softmax"), (context, "BS")):
        lookup = ScoreLookup(pd.concat([scores, own], ignore_index=True), known)
        for number in (3, 12):
            table = build_table(number, lookup)
            for dataset in ("World-Objects", "World-Places"):
                right = own.query(f"dataset == '{dataset.lower().replace('-', '_')}'")
                right = right.query("metric == 'accuracy' and split == 'test'")
                right = right.set_index("group")["value"]
                for group in ("Overall", "D-Few"):
                    assert cell(table, (dataset, label), (group,)) == right[group]
        rows = build_table("all_predictors", lookup).cells.index
        assert ("World-Places", f"CLIP, AdaptFormer, {label}") in rows
        assert ("World-Places", "CLIP, AdaptFormer, LA, kNN on its features") in rows
    without = build_table(3, ScoreLookup(scores, named)).cells.index
    assert "Balanced softmax" not in without.get_level_values(1)


def test_every_scored_predictor_is_a_row_of_the_table_beyond_the_papers(scores, context):
    table = build_table("all_predictors", ScoreLookup(scores, context))
    rows = scores.query("metric == 'accuracy' and group == 'Overall' and split == 'test'")
    rows = rows[rows["dataset"].isin(list(context.datasets))]
    names = ["dataset", "kind", "members", "peft", "loss", "adjustment", "fusion"]
    assert len(table.cells) == len(rows[names].drop_duplicates())
    shown = sorted(entry.value for entry in table.cells[("Overall",)])
    first = rows[rows["seed"].isna() | (rows["seed"] == 0)]
    assert shown == pytest.approx(sorted(first["value"]))
