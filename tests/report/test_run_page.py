"""The page of a run: its numbers are those of the score table, whatever runs and names there are."""

import base64
import html
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, PngImagePlugin

from dualtail.errors import UserError
from dualtail.paper.context import PaperContext
from dualtail.paper.lookup import ScoreLookup
from dualtail.provenance.snakemake_records import Job
from dualtail.report.class_data import LARGEST, explorer, pack
from dualtail.report.history import history
from dualtail.report.pictures import in_order, read_picture
from dualtail.report.run_page import Beside, run_page

TYPES = {"u1": "<u1", "u2": "<u2", "u4": "<u4", "f4": "<f4"}
HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    "'\"&amp;<b>",
    "[x](javascript:alert(3))",
    "**bold** `code`",
    "\u2028 line",
    "{{ 7 * 7 }}",
    "__proto__",
    "nan",
)


def unpack(packed: dict[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["data"]), TYPES[packed["type"]]).astype(float)


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="class-data">(.*?)</script>', page, re.S)
    assert found
    return json.loads(found[1])


def text_of(page: str) -> str:
    text = html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"(?s)<(script|style).*?</\1>", "", page)))
    return text.replace("\N{NO-BREAK SPACE}", " ")


@pytest.fixture(scope="module")
def page(run: ScoreLookup) -> str:
    return run_page(run, Beside(tables=(1, 3, 8)))


@pytest.mark.parametrize("values", [[0, 255], [256, 3], [70000, 1], [0.125, 1e-9]])
def test_numbers_survive_packing(values: list[float]) -> None:
    packed = pack(np.array(values))
    assert unpack(packed).tolist() == np.float32(values).tolist()
    assert len(base64.b64decode(packed["data"])) <= 8


def test_accuracies_of_classes_are_those_of_the_class_scores(page: str, run: ScoreLookup) -> None:
    for data in data_of(page)["datasets"]:
        images = unpack(data["images"])
        for predictor in data["predictors"]:
            who, *_, loss = predictor["name"].lower().split(", ")
            who, _, fusion = who.replace("both models", "clip+openclip").partition(" fused by ")
            rows = run.per_class
            for name, value in (
                ("dataset", data["name"]),
                ("members", who),
                ("fusion", fusion),
                ("loss", loss.replace("zero-shot", "")),
            ):
                rows = rows[rows[name] == value]
            expected = rows.groupby("class_index")["accuracy"].mean()
            found = 100 * unpack(predictor["right"]) / (images * predictor["seeds"])
            assert np.allclose(found, expected, atol=1e-6)


def test_numbers_of_groups_and_gains_are_those_of_the_score_table(
    page: str, run: ScoreLookup
) -> None:
    data = data_of(page)
    photos = data["datasets"][0]
    kinds = [p["name"] for p in photos["predictors"]]
    la, ce = kinds.index("CLIP, AdaptFormer, LA"), kinds.index("CLIP, AdaptFormer, CE")
    rows = run.scores.query("dataset == 'photos' and kind == 'tuned' and split == 'test'")
    single = rows[(rows["members"] == "clip") & (rows["loss"] == "la")]
    compared = rows[(rows["members"] == "clip") & (rows["loss"] == "la|ce")]
    for k, group in enumerate(data["groups"]):
        for table, metric, shown in (
            (single, "accuracy", photos["predictors"][la]["numbers"][k]),
            (compared, "accuracy_gain", photos["gains"][f"{la},{ce}"][k]),
        ):
            found = table[(table["group"] == group) & (table["metric"] == metric)]
            assert len(found) == 2, "two seeds"
            known = [found["value"].mean()]
            if found["ci_low"].notna().all():
                known += [found["ci_low"].mean(), found["ci_high"].mean()]
            assert shown[0] == pytest.approx(known[0], abs=1e-4)
            assert len(shown) == len(known)


def test_groups_by_other_counts_are_not_guessed(make_run) -> None:
    lookup = make_run(datasets=["photos"], losses=["la"], seeds=[0], many=49)
    (data,) = explorer(lookup)["datasets"]
    assert data["d"] is None, "these bounds are not what the scores were grouped by"
    assert data["p"] is not None


def test_the_answer_is_first_and_has_the_numbers_of_the_scores(page: str, run: ScoreLookup) -> None:
    text = text_of(page)
    assert not re.search(r"\d %", page), "a line would break there"
    rows = run.scores.query("metric == 'accuracy' and group == 'Overall' and dataset == 'photos'")
    la = rows.query("kind == 'tuned' and members == 'clip' and loss == 'la'")["value"].mean()
    fused = rows.query("kind == 'fused' and loss == 'la' and fusion == 'logits'")["value"].mean()
    assert f"CLIP tuned with AdaptFormer and LA reaches {la:.1f} % on Photos" in text
    assert f"Both foundation models fused by logits reach {fused:.1f} % on Photos" in text
    first = text.index("Accuracy (mean over the classes of the test split). CLIP")
    assert first < text.index("The paper's claims")
    assert "nan" not in text


def test_warnings_of_the_summary_come_first_and_take_verdicts_away(make_run) -> None:
    lookup = make_run(datasets=["photos"], seeds=[0])
    priors = {
        key: prior.assign(ci_low=prior["q"] / 10, ci_high=prior["q"] * 4)
        for key, prior in lookup.context.priors.items()
    }
    thin = ScoreLookup(lookup.scores, replace(lookup.context, priors=priors), lookup.per_class)
    text = text_of(run_page(thin, Beside()))
    warning = text.index("CLIP's q is known within a factor of 40 only")
    assert "`" not in text[warning : warning + 400], "settings are set as code"
    assert warning < text.index("Mean over classes on the test split")
    assert "Photos: not resolved" in text
    assert "Before you rely on it" not in text_of(run_page(lookup, Beside()))


def test_claims_have_their_verdicts_and_lead_to_what_the_page_shows(page: str) -> None:
    claims = re.findall(r'<details class="claim">(.*?)</details>', page, re.S)
    (fusion,) = [claim for claim in claims if "5. Fusing foundation models beats" in claim]
    assert "Photos:" in text_of(fusion)
    assert "Places:" in text_of(fusion)
    assert 'href="#table-8"' in fusion
    assert 'href="tables/table_09.md"' in fusion, "it is not in the page, but a file beside it"


def test_hostile_class_names_stay_text(make_run) -> None:
    lookup = make_run(datasets=["photos"], losses=["la"], seeds=[0], names=HOSTILE)
    page = run_page(lookup, Beside(left_out=[HOSTILE[0]], settings={HOSTILE[1]: HOSTILE[0]}))
    assert data_of(page)["datasets"][0]["classes"] == list(HOSTILE)
    for name in HOSTILE[:2]:
        assert name not in page
    assert "javascript:" not in re.sub(r"(?s)<script.*?</script>", "", page)
    assert page.count("</script>") == 2
    assert page.count("<img") == 0


def test_a_run_of_one_model_and_a_loss_of_ones_own(make_run) -> None:
    lookup = make_run(members=["mine"], datasets=["photos"], losses=["my_loss"], seeds=[3])
    text = text_of(run_page(lookup, Beside(tables=(1, 3, 8))))
    (row,) = lookup.scores.query(
        "kind == 'tuned' and metric == 'accuracy' and group == 'Overall'"
    ).itertuples()
    assert f"MINE tuned with AdaptFormer and my_loss reaches {row.value:.1f} % on" in text
    assert "The run has one foundation model: nothing is fused." in text
    assert "MINE, AdaptFormer, my_loss" in text, "in the table of every predictor"
    assert re.search(r"1\d claims are about outputs that this run did not make", text)
    (data,) = explorer(lookup)["datasets"]
    assert [data["predictors"][k]["name"] for k in data["pair"]] == [
        "MINE, AdaptFormer, my_loss",
        "MINE, zero-shot",
    ]
    assert "Table 3: The scores of run 'toy' lack" in text.replace("the scores", "The scores")
    assert "nan" not in text
    labels = replace(lookup.context, losses={"my_loss": "My loss"})
    named = ScoreLookup(lookup.scores, labels, lookup.per_class)
    assert "MINE tuned with AdaptFormer and My loss reaches" in text_of(run_page(named, Beside()))
    names = [entry["name"] for entry in explorer(named)["datasets"][0]["predictors"]]
    assert "MINE, AdaptFormer, My loss" in names


def test_untuned_models_alone(make_run) -> None:
    text = text_of(run_page(make_run(losses=[], datasets=["photos"]), Beside()))
    assert "Before tuning, CLIP reaches " in text
    assert "No fusion of all foundation models is scored." in text


def test_what_is_not_there_is_said(make_run) -> None:
    lookup = make_run(datasets=["photos"], losses=["la"], seeds=[0], per_class=False)
    text = text_of(run_page(lookup, Beside(left_out=["figure 7 is left out: it needs reordered"])))
    assert "The class explorer is not here. The accuracies of the classes are needed here" in text
    assert "No figure was given to this page." in text
    assert "Figure 7 is left out: it needs reordered." in text
    assert "config.yaml has all settings of the run" in text
    assert "There is no record here of the jobs" in text
    assert "No number of this run can be set beside a published one" in text


def test_a_dataset_without_scores_is_not_in_the_class_explorer(run: ScoreLookup) -> None:
    """Its classes alone have no predictor to show."""
    photos = run.scores[run.scores["dataset"] == "photos"]
    found = explorer(ScoreLookup(photos, run.context, run.per_class))
    assert [dataset["name"] for dataset in found["datasets"]] == ["photos"]
    nothing = ScoreLookup(run.scores.iloc[:0], run.context, run.per_class)
    with pytest.raises(UserError, match="scores of run 'toy' have no accuracy of a dataset of it"):
        run_page(nothing, Beside())


def test_published_numbers_stand_beside_ours_where_both_are_of_the_same_images(make_run) -> None:
    lookup = make_run(datasets=["places"], losses=["la"], seeds=[0])
    context = lookup.context
    official = PaperContext(
        run="toy",
        datasets=context.datasets,
        members={"clip": "CLIP", "openclip": "OpenCLIP"},
        pefts=context.pefts,
        roles={"places": "places365_lt"},
        official={"places": "places365_lt"},
        config={"foundation": {m: {"architecture": "ViT-B-16"} for m in context.members}},
    )
    same = ScoreLookup(lookup.scores, official, lookup.per_class)
    text = text_of(run_page(same, Beside()))
    ours = same.scores.query(
        "kind == 'zero-shot' and members == 'clip' and metric == 'accuracy' and group == 'D-Many'"
    )["value"].item()
    assert re.search(rf"Table 1\s*Places365-LT\s*CLIP\s*D-Many\s*[\d.]+\s*{ours:.2f}", text)
    assert "outside" in text


def test_what_models_see_of_an_image_is_said(run: ScoreLookup) -> None:
    def page(transforms: Sequence[str | None]) -> str:
        models = {
            member: {"architecture": "photo-vit-16", "transform": transform}
            for member, transform in zip(("clip", "openclip"), transforms, strict=True)
        }
        named = {"whole": {"resize": 64, "crop": 64}}
        config = {**run.context.config, "foundation": models, "transforms": named}
        lookup = ScoreLookup(run.scores, replace(run.context, config=config), run.per_class)
        return run_page(lookup, Beside())

    seen = "What models see of an image: "
    assert f"{seen}resize 73, crop 64.<" in page([None, None])
    both = f"{seen}CLIP: resize 64, crop 64; OPENCLIP: resize 73, crop 64.<"
    assert both in page(["whole", None])


def test_settings_are_dotted_keys_and_plain_values(run: ScoreLookup) -> None:
    settings: dict[str, Any] = {
        "tuning": {"lr": 0, "flip": False, "shots": None},
        "study": {"seeds": [0, 1]},
    }
    settings["study"]["variants"] = [{"losses": ["my_loss", "la"]}]
    rows = re.findall(
        "<tr><td><code>(.*?)</code></td><td>(.*?)</td></tr>",
        run_page(run, Beside(settings=settings)),
    )
    assert rows == [
        ("tuning.lr", "0"),
        ("tuning.flip", "no"),
        ("tuning.shots", "none"),
        ("study.seeds", "0, 1"),
        ("study.variants.1.losses", "my_loss, la"),
    ]


def test_how_it_was_made_counts_jobs_by_rule() -> None:
    jobs = [Job("tune", f"dualtail tune {k}", [], {}, 60.0 * k, 60.0 * k + 30, k) for k in (1, 2)]
    jobs.append(Job("score", "dualtail score", [], {}, 300.0, 400.0, 3))
    made = history(jobs, {"numpy": "2"})
    assert [(rule, n, command) for rule, n, command in made.rules] == [
        ("tune", 2, "dualtail tune 1"),
        ("score", 1, "dualtail score"),
    ]
    assert (made.n_jobs, made.when) == (3, "1970-01-01 00:01 to 1970-01-01 00:06 UTC")


def test_pictures_keep_their_title_and_stand_in_the_order_of_the_paper(tmp_path) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Title", "Figure 10. Ä – <b>")
    texts.add_text("Description", "What is shown, %")
    paths = [tmp_path / name for name in ("world.png", "figure_10.png", "figure_02.png")]
    for path in paths:
        Image.new("RGB", (2000, 1000), "red").save(path, pnginfo=texts)
    assert [path.stem for path in in_order(paths)] == ["figure_02", "figure_10", "world"]
    picture = read_picture(tmp_path / "figure_10.png")
    assert picture.title == "Figure 10. Ä – <b>"
    assert picture.caption == "What is shown, %"
    assert (picture.name, picture.width, picture.height) == ("figure-10", 1600, 800)
    (tmp_path / "no.png").write_text("no picture")
    with pytest.raises(UserError, match=r"no\.png: not a readable picture"):
        read_picture(tmp_path / "no.png")


def large_run(n_classes: int, n_predictors: int) -> ScoreLookup:
    """As many classes as iNaturalist has, under many predictors; three test images per class."""
    rng = np.random.default_rng(0)
    identity = {
        "run": "toy",
        "dataset": "inat",
        "kind": "tuned",
        "members": "clip",
        "split": "test",
    }
    empty = {"adjustment": "", "fusion": "", "seed": 0}
    classes = pd.DataFrame(
        {
            "class_index": np.arange(n_classes),
            "class_name": [f"Genus species {k} of a long name" for k in range(n_classes)],
            "train_count": rng.integers(1, 1000, n_classes),
            "q": rng.dirichlet(np.ones(n_classes)),
            "n_images": 3,
        }
    )
    per_class, scores = [], []
    for k in range(n_predictors):
        who = identity | empty | {"peft": "adaptformer", "loss": f"loss_{k}"}
        right = rng.integers(0, 4, n_classes)
        per_class.append(classes.assign(**who, accuracy=100 * right / 3))
        row = {"scheme": "all", "group": "Overall", "metric": "accuracy", "n_classes": n_classes}
        scores.append(who | row | {"value": 50.0, "ci_low": 49.0, "ci_high": 51.0})
    context = PaperContext(
        run="toy",
        datasets={"inat": "iNaturalist"},
        members={"clip": "CLIP"},
        pefts={"adaptformer": "AdaptFormer"},
    )
    return ScoreLookup(pd.DataFrame(scores), context, pd.concat(per_class, ignore_index=True))


def test_predictors_beyond_the_budget_are_left_out_and_named() -> None:
    lookup = large_run(100, 12)
    (data,) = explorer(lookup, largest=1000)["datasets"]
    assert len(data["predictors"]) == 10, "a hundred bytes each"
    assert data["left_out"] == [f"CLIP, AdaptFormer, loss_{k}" for k in (8, 9)]


def test_8142_classes_under_60_predictors_fit() -> None:
    page = run_page(large_run(8142, 60), Beside())
    (data,) = data_of(page)["datasets"]
    assert len(data["predictors"]) == 60
    assert data["left_out"] == []
    assert LARGEST > 60 * 8142
    assert len(page.encode()) < 2_000_000
