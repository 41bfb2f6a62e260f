"""Images per second: measured and shipped, from a run of the user's own, or given."""

import csv
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from dualtail.config.names import nearest
from dualtail.errors import UserError

Operation = Literal["train", "infer", "decode"]

TABLE = Path(__file__).with_suffix(".csv")
SAME = 0.02
"""Costs that differ by less are the same."""


@dataclass(frozen=True)
class Rate:
    """How fast one operation goes.

    Attributes:
        operation: train, infer or decode.
        method: PEFT method, or its name in the run it comes from; "zero-shot"; "" for any.
        precision: Arithmetic of the backbone; "" for any.
        gflops: Of one image's forward pass; None: the rate holds whatever the model.
        images_per_second: Images a second.
        peak_memory: GiB, or None if not known.
        source: Where it comes from.
    """

    operation: Operation
    method: str
    precision: str
    gflops: float | None
    images_per_second: float
    peak_memory: float | None
    source: str


@dataclass(frozen=True)
class Speed:
    """A rate applied to one model.

    Attributes:
        images_per_second: Images a second.
        peak_memory: GiB, or None if not known.
        basis: "measured", "given", or "scaled": by the operations of a forward pass.
        factor: Operations of this model over those of the measured one.
    """

    images_per_second: float
    peak_memory: float | None
    basis: str
    factor: float = 1.0


def measured_rates() -> list[Rate]:
    """The rates in rates.csv: measured on one CPU core."""
    with TABLE.open(newline="", encoding="utf-8") as stream:
        return [
            Rate(
                operation=row["operation"],  # type: ignore[arg-type]
                method=row["method"],
                precision=row["precision"],
                gflops=float(row["gflops"]) if row["gflops"] else None,
                images_per_second=float(row["images_per_second"]),
                peak_memory=float(row["peak_memory_gib"]),
                source=f"{row['device']}, {row['conditions']}",
            )
            for row in csv.DictReader(stream)
        ]


def rates_of_run(path: Path) -> list[Rate]:
    """Rates of training and inference from a run's costs.csv: the median over its tunings.

    Raises:
        UserError: not the costs of a run, or of a version that did not write them all.
    """
    from dualtail.scores.schema import SCORES, read_frame

    frame = read_frame(path, SCORES)
    frame = frame[frame["kind"] == "cost"]
    wanted = ["gflops", "images_per_second", "training_images_per_second", "peak_memory"]
    missing = [metric for metric in wanted if metric not in set(frame["metric"])]
    if missing:
        raise UserError(
            f"{path}: has no {', '.join(missing)}; give results/<run>/costs.csv of a run that tuned "
            "models with this version"
        )
    rates: list[Rate] = []
    for peft, rows in frame.groupby("peft", sort=True):
        found = {
            metric: statistics.median(rows.loc[rows["metric"] == metric, "value"])
            for metric in wanted
        }
        for operation, metric in (
            ("train", "training_images_per_second"),
            ("infer", "images_per_second"),
        ):
            rates.append(
                Rate(
                    operation=operation,  # type: ignore[arg-type]
                    method=str(peft),
                    precision="",
                    gflops=found["gflops"],
                    images_per_second=found[metric],
                    peak_memory=found["peak_memory"],
                    source=str(path),
                )
            )
    return rates


def given_rates(text: str) -> list[Rate]:
    """Rates as the user writes them: `train=500,infer=2000`, images/s whatever the model.

    Raises:
        UserError: an unknown operation, or a number that is not positive.
    """
    rates: list[Rate] = []
    for part in text.split(","):
        operation, _, value = (piece.strip() for piece in part.partition("="))
        known = get_args(Operation)
        if operation not in known:
            raise UserError(
                f"--images-per-second {text}: unknown operation {operation!r}"
                f"{nearest(operation, known)}; write e.g. train=500,infer=2000,decode=300"
            )
        try:
            number = float(value)
        except ValueError:
            number = 0.0
        if not 0 < number < float("inf"):
            raise UserError(f"--images-per-second {operation}={value}: must be a positive number")
        rates.append(Rate(operation, "", "", None, number, None, "given"))  # type: ignore[arg-type]
    return rates


def choose_rates(costs: Sequence[Path], given: str | None) -> list[Rate]:
    """The rates of an estimate: given ones, then those of the user's runs, then measured ones.

    Each operation has one origin. Decoding happens on the CPU, so the measured rate stays for it.

    Raises:
        UserError: see `given_rates` and `rates_of_run`.
    """
    own = [rate for path in costs for rate in rates_of_run(path)]
    rates = given_rates(given) if given else []
    for source in (own, measured_rates()):
        known = {rate.operation for rate in rates}
        if source is not own and {"train", "infer"} & known:
            known |= {"train", "infer"}  # never half of one machine and half of another
        rates += [rate for rate in source if rate.operation not in known]
    return rates


def speed_of(
    rates: Iterable[Rate],
    operation: Operation,
    names: Iterable[str] = (),
    precision: str = "",
    gflops: float | None = None,
) -> Speed | None:
    """Speed of a model: of the most similar rate, scaled by the operations of a forward pass.

    Args:
        rates: What is known.
        operation: Which of them.
        names: Names under which the method may stand.
        precision: Arithmetic of the backbone.
        gflops: Of one image's forward pass.

    Returns:
        The speed, or None if no rate of the operation and precision is known.
    """
    wanted = list(names)
    fitting = [
        rate for rate in rates if rate.operation == operation and rate.precision in ("", precision)
    ]
    if not fitting:
        return None

    def distance(rate: Rate) -> tuple[bool, float, float]:
        factor = 1.0 if not rate.gflops or not gflops else gflops / rate.gflops
        return rate.method not in wanted, max(factor, 1 / factor), -rate.images_per_second

    best = min(fitting, key=distance)
    if best.source == "given":
        return Speed(best.images_per_second, best.peak_memory, "given")
    if best.gflops is None or gflops is None:
        return Speed(best.images_per_second, best.peak_memory, "measured")
    factor = gflops / best.gflops
    if best.method in wanted and abs(factor - 1) <= SAME:
        return Speed(best.images_per_second, best.peak_memory, "measured")
    return Speed(best.images_per_second / factor, best.peak_memory, "scaled", factor)


def describe(rates: Iterable[Rate]) -> list[str]:
    """Lines that say what rates there are."""
    kinds: dict[str, list[Rate]] = {}
    for rate in rates:
        kinds.setdefault(f"{rate.operation} {rate.method}".strip(), []).append(rate)
    lines = []
    for kind, found in kinds.items():
        best = max(found, key=lambda rate: rate.images_per_second)
        lines.append(f"{kind}: {best.images_per_second:,.4g} images/s ({best.source})")
    return lines
