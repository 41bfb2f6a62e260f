"""The summary: its numbers are those of the score table."""

import re
from dataclasses import replace

from dualtail.paper.claims import CLAIMS
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.summary import build_summary


def test_a_whole_run_is_judged(scores, per_class, context):
    text = build_summary(ScoreLookup(scores, context, per_class))
    assert text.startswith("# Summary of the run `toy`\n")
    assert "not run" not in text
    assert "nan" not in text
    assert text.count("\n## ") == len(CLAIMS) + 5
    assert "18 classes, 180 test images, 1,530 training images, 200 to 5 per class" in text
    # The toy zero-shot logits carry log q and nothing else; LA removes log pi_s by design.
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    # Some of its groups have fewer than five right or wrong images, so no interval.
    for number, least in ((1, 1), (2, 0), (5, 2)):
        (line,) = [
            line for line in lines if line.startswith(f"| {number}. {CLAIMS[number - 1][0]}")
        ]
        assert line.count(" holds") >= least, line
        assert "does not hold" not in line


def test_it_says_with_which_seeds_every_peft_was_tuned(scores, per_class, context):
    pefts = {"adaptformer": "AdaptFormer", "lora": "LoRA", "vpt": "VPT"}
    own = replace(context, pefts=pefts, seeds=(0, 1), peft_seeds={"vpt": (2,)})
    said = "tuned with AdaptFormer, LoRA (means over seeds 0, 1) and VPT (seed 2), on World-"
    assert said in build_summary(ScoreLookup(scores, own, per_class))


def test_its_numbers_come_from_the_scores(scores, per_class, context):
    text = build_summary(ScoreLookup(scores, context, per_class))
    row = scores.query(
        "dataset == 'world_places' and kind == 'fused' and fusion == 'logits' "
        "and members == 'clip+openclip+metaclip' and metric == 'accuracy' and group == 'Overall' "
        "and split == 'test'"
    ).iloc[0]
    assert f"{row['value']:.1f} % [{row['ci_low']:.1f}, {row['ci_high']:.1f}] by logits" in text
    pairs = scores.query(
        "dataset == 'world_objects' and kind == 'fused' and fusion == 'probabilities' "
        "and metric == 'accuracy' and group == 'Overall' and split == 'test'"
    )
    mean = pairs[pairs["members"].str.count(r"\+") == 1]["value"].mean()
    assert f"({mean:.1f} %); M = 3" in text


def test_the_world_and_the_truth_are_shown_where_there_is_one(scores, per_class, context):
    text = build_summary(ScoreLookup(scores, context, per_class))
    assert "recovers the true one" in text
    assert "each of the nine D x P groups has at least 3 classes" in text
    assert "learning rate 0.1**, the paper 0.01" in text
    plain = build_summary(ScoreLookup(scores, replace(context, priors={}, world=False), per_class))
    assert "recovers the true one" not in plain
    assert "deliberate" not in plain


def test_a_run_of_one_model_says_its_accuracy_and_what_it_cannot_judge_once(
    scores, per_class, context
):
    own = scores["members"].isin(["clip"]) & scores["loss"].isin(["", "la"])
    own &= scores["kind"].isin(["zero-shot", "tuned"])
    text = build_summary(
        ScoreLookup(scores[own], replace(context, members={"clip": "CLIP"}), per_class)
    )
    places = scores[own].query("dataset == 'world_places' and kind == 'tuned' and split == 'test'")
    la = places.query("metric == 'accuracy'").set_index("group")["value"]
    assert text.splitlines()[2].startswith("Foundation model CLIP, tuned with AdaptFormer")
    assert "CLIP tuned with AdaptFormer and LA reaches **" in text
    assert f"**{la['Overall']:.1f} %** on World-Places; before tuning, **" in text
    table = text.split("## Result")[1].split("\n## ")[0]
    row = re.findall(r"^\| +\| CLIP, AdaptFormer, LA.*$", table, re.M)[1]
    shown = [cell.split()[0] for cell in row.strip("| ").split("|")[1:]]
    groups = ("Overall", "D-Many", "D-Medium", "D-Few", "P-Many", "P-Medium", "P-Few")
    assert shown == [f"{la[group]:.1f}" for group in groups]
    assert text.count("## 1. ") == 1
    assert "## 5. " not in text
    assert text.count("nothing to fuse or compare") == 1
    assert "nan" not in text


def test_what_was_not_run_is_said(scores, per_class, context):
    text = build_summary(ScoreLookup(scores[scores["kind"] != "fused"], context, per_class))
    assert "- **6. Every further model adds to the fusion**: the scores of run 'toy' lack" in text
    nothing = build_summary(ScoreLookup(scores[scores["kind"] == "cost"], context, per_class))
    assert "None of them can be judged on it" in nothing
    assert "nan" not in text + nothing
