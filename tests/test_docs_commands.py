"""README and docs: what is named within a line exists; own-logits.md is run to the letter.

Commands in blocks are run by tests/workflow/test_docs_run.py.
"""

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from dualtail.cli.program import program

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
NAMED = re.compile(r"architecture: ([\w-]+), weights: (\w+)")


def named(page: Path, program: str) -> list[str]:
    """Arguments of the commands that a page names within a line."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    pattern = rf"`(?:uv run )?(?:\w+=\S+ )?{program} (?=[^:=])([^`\n]+)`"
    return [re.sub(r" && .*", "", found) for found in re.findall(pattern, text)]


VERBS = [(page.name, line) for page in PAGES for line in named(page, "dualtail")]
RUNS = [(page.name, line) for page in PAGES for line in named(page, "snakemake")]


@pytest.mark.parametrize(("page", "line"), VERBS)
def test_verbs_and_options_exist(page: str, line: str) -> None:
    words = [word for word in shlex.split(line) if word != "..."]
    if words[0].startswith("-"):
        assert words[0] in ("--help", "--version")
        return
    verb = program.get_command(click.Context(program), words[0])
    assert verb is not None, f"{page}: no verb {words[0]}"
    context = click.Context(verb, info_name=words[0], resilient_parsing=True)
    given, _, order = verb.make_parser(context).parse_args(words[1:])
    for param in order:
        value = given.get(param.name or "")
        if isinstance(param.type, click.Choice | click.types.IntParamType) and "..." not in line:
            for part in value if isinstance(value, list) else [value]:
                if part is not None:
                    param.type.convert(part, param, context)


@pytest.mark.parametrize(("page", "line"), RUNS)
def test_targets_and_configs_exist(page: str, line: str) -> None:
    from snakemake.cli import get_argument_parser

    words = [word for word in shlex.split(line) if word not in ("...", "|")]
    args, _ = get_argument_parser().parse_known_args(words)
    rules = (ROOT / "Snakefile").read_text()
    rules += "".join(file.read_text() for file in (ROOT / "workflow/rules").glob("*.smk"))
    named = set(re.findall(r"^rule (\w+):", rules, re.M))
    for target in args.targets:
        assert target in named or target.startswith(("results/", "data/")), f"{page}: {target}"
    for config in args.configfile or []:
        known = Path(str(config)).name in ("mine.yaml", "FILE")
        assert known or (ROOT / config).is_file(), f"{page}: {config}"


def test_models_of_the_pages_configs_have_the_activation_of_their_weights() -> None:
    import open_clip

    named = {pair for page in PAGES for pair in re.findall(NAMED, page.read_text())}
    known = named & set(open_clip.list_pretrained())
    assert known
    for architecture, tag in known:
        trained = open_clip.get_pretrained_cfg(architecture, tag).get("quick_gelu", False)
        built = (open_clip.get_model_config(architecture) or {}).get("quick_gelu", False)
        assert trained == built, f"{architecture},{tag} is refused"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        text = FENCE.sub("", page.read_text(encoding="utf-8"))
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]*)?\)", text):
            if "://" not in target and not target.startswith("results/"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_own_logits_are_run_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs/own-logits.md").read_text(encoding="utf-8")
    printed = ""
    for kind, body in FENCE.findall(text):
        if kind == "python":
            exec(body, {})
        elif body.startswith("dualtail"):
            printed = ""
            for line in body.splitlines():
                done = CliRunner().invoke(program, shlex.split(line)[1:])
                assert done.exit_code == 0, f"{line}: {done.output}"
                printed += done.output
        else:
            assert body in printed
    adjusted = CliRunner().invoke(program, ["inspect", "adjusted.safetensors"])
    assert adjusted.exit_code == 0


def test_the_config_of_own_images_is_right_also_with_own_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    default = yaml.safe_load((ROOT / "config.yaml").read_text())
    images = (ROOT / "docs/own-images.md").read_text(encoding="utf-8")
    own = "".join(body for kind, body in FENCE.findall(images) if kind == "yaml")
    parts = (ROOT / "docs/own-parts.md").read_text(encoding="utf-8")
    (tmp_path / "parts").mkdir()
    for name, body in re.findall(r"`(parts/\w+\.py)`.*?^```python\n(.*?)^```", parts, re.M | re.S):
        (tmp_path / name).write_text(body)
    (fragment,) = [body for kind, body in FENCE.findall(parts) if kind == "yaml"]
    Path("default.yaml").write_text(yaml.safe_dump(default))
    Path("mine.yaml").write_text(own)
    Path("parts.yaml").write_text(
        fragment + "study: {pefts: [adaptformer, shift], losses: [ce, la, brier]}\n"
    )
    for files, n_tunings in ((["mine.yaml"], 4), (["mine.yaml", "parts.yaml"], 12)):
        done = CliRunner().invoke(program, ["check-config", "default.yaml", *files])
        assert done.exit_code == 0, done.output
        assert f"1 dataset, 2 foundation models, {n_tunings} tunings" in done.output
