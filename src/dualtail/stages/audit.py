"""Stage audit: zero-shot outputs of one or more models, and one page about their classes."""

from collections.abc import Sequence
from pathlib import Path

from dualtail.datasets.train_counts import read_counts_csv
from dualtail.errors import UserError
from dualtail.files import write_text
from dualtail.foundation.spec import FoundationSpec
from dualtail.outputs import Outputs, write_outputs
from dualtail.report.audit import Audit, AuditSettings, audit_outputs
from dualtail.report.audit_figures import nine_groups_figure, prior_figure
from dualtail.report.audit_page import answer, audit_page
from dualtail.stages.predict import LabelledImages, Precision, predict_images

SUFFIXES = (".html", ".md")


def run(
    specs: Sequence[FoundationSpec],
    data: LabelledImages,
    train_counts: Path | None,
    settings: AuditSettings,
    precision: Precision,
    threads: int,
    keep_outputs: Path | None,
    out: Path,
) -> str:
    """Run every model, write the page, and return the answer as lines for the user.

    Args:
        specs: The models.
        data: Labelled images.
        train_counts: CSV of training images per class, for nine groups.
        settings: Intervals and groups.
        precision: Arithmetic of the vision towers.
        threads: Decoders.
        keep_outputs: Folder for the dumps, for `dualtail fuse`, `score` and so on.
        out: The page, .html or .md.

    Raises:
        UserError: weights, images or counts that cannot be read, or another suffix.
    """
    if out.suffix not in SUFFIXES:
        raise UserError(f"{out}: the page is written as {' or '.join(SUFFIXES)}")
    names = data.class_names
    counts = None if train_counts is None else read_counts_csv(train_counts, names)
    dumps: list[Outputs] = []
    for spec in specs:
        dump = predict_images(spec, data, precision=precision, threads=threads)
        if keep_outputs is not None:
            name = spec.member.replace(",", "_").replace("/", "_")
            write_outputs(keep_outputs / f"{name}.safetensors", dump)
        dumps.append(dump)
    audit = audit_outputs(dumps, counts, settings)
    write_page(audit, out)
    lines = [line.replace("**", "") for line in answer(audit)]
    return "\n".join([*lines, f"page: {out}"])


def write_page(audit: Audit, out: Path) -> None:
    """Write the page in the form that its suffix says."""
    figures = []
    for model in audit.models if out.suffix == ".html" else ():
        shown = [
            (
                prior_figure(model, audit.class_names),
                f"{model.name}: prior of the least and most favored classes with intervals, and "
                "accuracy of every class against it",
            )
        ]
        if model.nine_groups is not None:
            shown.append((nine_groups_figure(model), f"{model.name}: accuracy of nine groups"))
        figures.append(shown)
    write_text(out, audit_page(audit, out.suffix.removeprefix("."), figures))
