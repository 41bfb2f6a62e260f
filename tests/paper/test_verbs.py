"""Verbs of the paper, from files: what they write is what the functions on frames return."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from dualtail.errors import UserError
from dualtail.explain.examples import write_examples
from dualtail.files import write_text
from dualtail.paper.contents import FIGURES, TABLES
from dualtail.paper.figures import build_figure
from dualtail.paper.files import PaperFiles
from dualtail.paper.layout import to_csv
from dualtail.paper.lookup import ScoreLookup
from dualtail.paper.summary import build_summary
from dualtail.paper.tables import build_table
from dualtail.scores.schema import PER_CLASS, write_frame
from dualtail.stages.paper_inputs import paper_context, read_priors, read_shares

PRIOR_COLUMNS = "dataset,member,class_index,class_name,q,ci_low,ci_high,q_true"


@pytest.fixture(scope="session")
def files(run, plain_context, tmp_path_factory) -> PaperFiles:
    """The toy run as files."""
    folder, context = tmp_path_factory.mktemp("run"), plain_context
    scores, classes = run
    is_cost = scores["kind"] == "cost"
    write_frame(folder / "scores.parquet", scores[~is_cost])
    write_frame(folder / "costs.csv", scores[is_cost])
    write_frame(folder / "classes.parquet", classes, PER_CLASS)
    write_text(folder / "config.yaml", yaml.safe_dump(dict(context.config)))
    priors = [
        prior.assign(dataset=dataset, member=member, ci_low=float("nan"), ci_high=float("nan"))
        for (dataset, member), prior in context.priors.items()
    ]
    pd.concat(priors)[PRIOR_COLUMNS.split(",")].to_csv(folder / "priors.csv", index=False)
    shares = []
    for dataset, rows in context.grad_cam.groupby("dataset"):
        shares.append(folder / f"{dataset}.csv")
        rows.to_csv(shares[-1], index=False)
    examples = []
    for dataset, found in context.examples.items():
        examples.append(folder / f"{dataset}.safetensors")
        write_examples(examples[-1], found)
    return PaperFiles(
        config=folder / "config.yaml",
        scores=folder / "scores.parquet",
        class_scores=folder / "classes.parquet",
        priors=folder / "priors.csv",
        costs=folder / "costs.csv",
        grad_cam=tuple(shares),
        examples=tuple(examples),
        samples=context.confounder.samples,
        histories=tuple(context.confounder.histories),
    )


def options(files: PaperFiles) -> list[str]:
    """The files as options, as the rules write them."""
    found = []
    for name, value in files._asdict().items():
        for file in value if isinstance(value, tuple) else [value] if value else []:
            found.append(f"--{name.replace('_', '-')}={file}")
    return found


def test_tables_are_those_of_the_scores(dualtail, files, scores, context, tmp_path: Path):
    numbers = [number for number in TABLES if number not in (7, 11)]
    dualtail("tables", *numbers, "all_predictors", *options(files), "--out", tmp_path)
    written = (tmp_path / "all_predictors.csv").read_text()
    assert written == to_csv(build_table("all_predictors", ScoreLookup(scores, context)))
    for number in numbers:
        written = (tmp_path / f"table_{number:02d}.csv").read_text()
        assert written == to_csv(build_table(number, ScoreLookup(scores, context))), number
    assert len(list(tmp_path.iterdir())) == 4 * len(numbers) + 3


@pytest.mark.slow
def test_figures_are_those_of_the_scores(
    dualtail, files, scores, per_class, context, tmp_path: Path
):
    dualtail("figures", *FIGURES, *options(files), "--out", tmp_path)
    for number in FIGURES:
        written = pd.read_csv(tmp_path / f"figure_{number:02d}.csv")
        data = build_figure(number, ScoreLookup(scores, context, per_class)).data
        written, data = (frame.astype(object).where(frame.notna(), "") for frame in (written, data))
        pd.testing.assert_frame_equal(written, data, atol=1e-5)
        pdf, png = ((tmp_path / f"figure_{number:02d}{s}").read_bytes() for s in (".pdf", ".png"))
        assert pdf.startswith(b"%PDF")
        assert png.startswith(b"\x89PNG")
        assert len(png) > 10_000


def test_summary_and_comparison(dualtail, files, scores, per_class, context, tmp_path: Path):
    dualtail("summary", *options(files), "--out", tmp_path / "s.md")
    assert (tmp_path / "s.md").read_text() == build_summary(ScoreLookup(scores, context, per_class))
    page, csv = tmp_path / "c.md", tmp_path / "c.csv"
    dualtail("compare", *options(files), "--out", page, "--csv", csv)
    assert page.read_text().startswith("# The paper beside the run `toy`")
    assert set(pd.read_csv(csv)["verdict"]) == {"other data", "no unit", "not run"}


def test_the_page_of_a_run(dualtail, files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Of a copied run: what made it is in the manifest beside its config."""
    config = tmp_path / "config.yaml"
    shutil.copy(files.config, config)
    job = {"rule": "tune", "command": "dualtail tune x", "params": [], "inputs": {}}
    job |= {"started": 60.0, "ended": 90.0, "number": 1, "environment": "e"}
    manifest = {"version": 2, "folder": "results/toy", "files": {}, "sources": {}}
    manifest |= {"jobs": {"j": job}, "environments": {"e": {"numpy": "1.2.3"}}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    dualtail("figures", 10, 2, *options(files), "--out", tmp_path)
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "index.html"
    words = [*options(files._replace(config=config)), "--tables", "1,2", "--out", page]
    words += ["--figure", "figure_10.png", "--figure", "figure_02.png"]
    dualtail("report", *words, "--settings", '{"tuning":{"lr":0.1}}', "--left-out", "why not")
    text = page.read_text()
    order = ["Table 1. ", "Figure 2. Data and parameter imbalance", "Figure 10. ", "tuning.lr"]
    order += ["Why not.", "dualtail tune x", "numpy 1.2.3"]
    assert sorted(order, key=text.index) == order
    (table,) = re.findall(r'(?s)<details class="folded" id="table-2">.*?</details>', text)
    assert "CLIP-OpenCLIP" in table


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--settings", "["], "--settings: not JSON"),
        (["--settings", "[]"], "--settings: must be an object of keys and values"),
        (["--tables", "1,x"], "--tables: must be numbers separated by commas"),
    ],
)
def test_options_of_the_page_that_are_none(dualtail, files, tmp_path: Path, words, message):
    few = options(PaperFiles(files.config, files.scores))
    done = dualtail("report", *few, *words, "--out", tmp_path / "index.html", fails=True)
    assert message in done.output
    assert not (tmp_path / "index.html").exists()


def test_accuracies_need_config_and_scores_alone(dualtail, files, scores, context, tmp_path: Path):
    few = options(PaperFiles(files.config, files.scores))
    dualtail("tables", 8, *few, "--out", tmp_path)
    assert (tmp_path / "table_08.csv").read_text() == to_csv(
        build_table(8, ScoreLookup(scores, context))
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tables", 9], "lack the gflops .* of 'cost clip adaptformer la'"),
        (["tables", 16], "no six-class study"),
        (["figures", 3], "give --class-scores FILE"),
        (["summary"], "give --class-scores FILE"),
        (["summary", "--samples", "s.csv"], "--samples and --histories go together"),
        (["compare", "--histories", "h.csv"], "--samples and --histories go together"),
    ],
)
def test_what_is_not_given_is_asked_for(dualtail, files, tmp_path: Path, words, message):
    few = options(PaperFiles(files.config, files.scores))
    done = dualtail(*words, *few, "--out", tmp_path / "out", fails=True)
    (line,) = [line for line in done.output.splitlines() if line.startswith("Error: ")]
    assert re.search(message, line)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study: [", "not YAML"),
        ("run: x", r"not the resolved config of a run \(KeyError\('study'\)\)"),
        ("{study: 1, world: null}", "not the resolved config of a run"),
    ],
)
def test_a_config_that_is_none(files, tmp_path: Path, text, message):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(UserError, match=rf"c\.yaml: .*{message}"):
        paper_context(files._replace(config=tmp_path / "c.yaml"))
    with pytest.raises(UserError, match=r"gone\.yaml: cannot be read"):
        paper_context(files._replace(config=tmp_path / "gone.yaml"))


def test_priors_keep_names_that_look_like_nothing_and_truth_where_it_is_known(tmp_path: Path):
    lines = [PRIOR_COLUMNS, "a,m,0,null,0.25,0.1,0.3,0.5", "a,m,1,nan,0.75,0.7,0.8,0.5"]
    lines += ["b,m,0,NA,0.5,,,", "b,m,1,x,0.5,,,"]
    (tmp_path / "p.csv").write_text("\n".join(lines) + "\n")
    found = read_priors(tmp_path / "p.csv")
    assert list(found) == [("a", "m"), ("b", "m")]
    assert found["a", "m"]["class_name"].tolist() == ["null", "nan"]
    assert found["a", "m"]["q_true"].tolist() == [0.5, 0.5]
    assert list(found["b", "m"].columns) == ["class_index", "class_name", "q"]
    assert found["b", "m"]["class_name"].tolist() == ["NA", "x"]
    (tmp_path / "p.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines))
    with pytest.raises(UserError, match=r"p\.csv: no table of estimated priors.*'q_true'"):
        read_priors(tmp_path / "p.csv")


def test_shares_of_datasets_whose_regions_are_not_known(files, tmp_path: Path, grad_cam):
    header = files.grad_cam[0].read_text().splitlines()[0]
    (tmp_path / "none.csv").write_text(header + "\n")
    mixed = read_shares([tmp_path / "none.csv", *files.grad_cam])
    pd.testing.assert_frame_equal(mixed, read_shares(files.grad_cam))
    assert mixed["seed"].dtype == int
    assert len(read_shares([tmp_path / "none.csv"])) == 0
    assert read_shares([]) is None


def spoiled(files: PaperFiles, folder: Path, name: str, column: str, value: object) -> PaperFiles:
    """With one of the CSV files changed: every cell of a column."""
    path = folder / f"{name}.csv"
    source = getattr(files, name)
    read = pd.read_parquet if source.suffix == ".parquet" else pd.read_csv
    read(source).assign(**{column: value}).to_csv(path, index=False)
    return files._replace(**{name: path})


@pytest.mark.parametrize(
    ("name", "column", "value", "message"),
    [
        (
            "scores",
            "run",
            "other",
            "no row of the run 'toy' of .*, but of 'other': give the scores",
        ),
        ("costs", "value", 0, "gflops of clip on world_objects is 0; it must be positive"),
        ("costs", "value", "", "gflops of clip on world_objects is nan; it must be positive"),
        ("costs", "value", "inf", "score table: value is infinite in the row"),
        ("priors", "q", "much", "line 2: q is 'much', which is not a number"),
        ("priors", "q", 0, "line 2: q is 0; it must be a positive number"),
        ("priors", "q", "inf", "line 2: q is inf; it must be a positive number"),
        ("priors", "q", "", "line 2: q is nan; it must be a positive number"),
        ("priors", "q_true", -1, "line 2: q_true is -1; it must be a positive number"),
    ],
)
def test_odd_tables_are_refused(
    dualtail, files, tmp_path: Path, name: str, column: str, value: object, message: str
):
    odd = options(spoiled(files, tmp_path, name, column, value))
    for verb in ("report", "summary", "study-frontier"):
        said = dualtail(verb, *odd, "--out", tmp_path / "out", fails=True).output
        assert re.search(rf"{name}\.csv: {message}", said), said
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fuses", [{"members": ["clip"]}, {"zero_shot": False, "losses": []}])
def test_a_run_that_fuses_nothing_has_no_study_of_fusion(dualtail, files, tmp_path: Path, fuses):
    config = yaml.safe_load(files.config.read_text())
    config["fusion"] |= {"losses": ["la"], "zero_shot": True}
    config |= {"seed": 0, "scores": config["scores"] | {"bootstrap": 20}}
    for section in ("study", "fusion"):
        config[section] |= {k: v for k, v in fuses.items() if k in config[section]}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    changed = files._replace(config=tmp_path / "c.yaml")
    words = {
        "study-fusion": options(changed),
        "study-fusion-weights": ["--config", changed.config, "--outputs", "{members}"],
    }
    for verb, given in words.items():
        said = dualtail(verb, *given, "--out", tmp_path / "out", fails=True).output
        assert said.startswith(f"Error: {changed.config}: ")
        assert "nothing is fused: study.members needs two or more models, and fusion.losses" in said
