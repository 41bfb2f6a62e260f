"""Stage audit: one page about the classes of one or more models, from their outputs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dualtail.datasets.train_counts import read_counts_csv
from dualtail.errors import UserError
from dualtail.files import write_text
from dualtail.outputs import Outputs, read_outputs, write_outputs
from dualtail.report.audit import Audit, AuditSettings, audit_outputs
from dualtail.report.audit_figures import nine_groups_figure, prior_figure
from dualtail.report.audit_page import answer, audit_page
from dualtail.stages.distinct import check_distinct

if TYPE_CHECKING:
    from dualtail.foundation.spec import FoundationSpec
    from dualtail.stages.predict import LabelledImages, Precision

SUFFIXES = (".html", ".md")


def run(
    dumps: Sequence[Outputs], train_counts: Path | None, settings: AuditSettings, out: Path
) -> str:
    """Write the page, and return the answer as lines for the user."""
    check_suffix(out)
    names = dumps[0].header.class_names
    counts = None if train_counts is None else read_counts_csv(train_counts, names)
    audit = audit_outputs(dumps, counts, settings)
    write_page(audit, out)
    lines = [line.replace("**", "") for line in answer(audit)]
    return "\n".join([*lines, f"page: {out}"])


def check_suffix(out: Path) -> None:
    """Refuse a page of another kind, before anything is computed for it."""
    if out.suffix not in SUFFIXES:
        raise UserError(f"{out}: the page can be written as {' or '.join(SUFFIXES)}")


def read_dumps(paths: Sequence[Path], split: str | None) -> list[Outputs]:
    """Memory-map one split of each dump.

    Raises:
        UserError: a file twice, or one that cannot be read.
    """
    check_distinct(paths)
    return [read_outputs(path, split) for path in paths]


def predict_dumps(
    specs: Sequence["FoundationSpec"],
    data: "LabelledImages",
    precision: "Precision",
    threads: int,
    keep_outputs: Path | None,
) -> list[Outputs]:
    """Run every model over labelled images.

    Args:
        keep_outputs: Folder for the dumps, for `dualtail audit --outputs`, `fuse`, `score` and so on.

    Raises:
        UserError: weights or images that cannot be read.
    """
    from dualtail.stages.predict import predict_images

    dumps: list[Outputs] = []
    for spec in specs:
        dump = predict_images(spec, data, precision=precision, threads=threads)
        if keep_outputs is not None:
            name = spec.member.replace(",", "_").replace("/", "_")
            write_outputs(keep_outputs / f"{name}.safetensors", dump)
        dumps.append(dump)
    return dumps


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
