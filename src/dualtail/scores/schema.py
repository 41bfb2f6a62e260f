"""The score table: its columns, its units, and its files.

One row is one number about one set of predictions. Shares (accuracy, F1, ECE ...) are in PERCENT
everywhere, differences of them in percentage points; the column `unit` says so in every row.
A comparison of two dumps joins what differs with `|`: members `clip|openclip`, loss `la|ce`; the
value is always left minus right (the average gap is symmetric).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dualtail.bias.groups import CROSS_GROUPS, D_GROUPS, P_GROUPS
from dualtail.errors import UserError
from dualtail.files import atomic_path

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

PERCENT = "%"
POINTS = "percentage points"
SQUARED_POINTS = "squared percentage points"

UNITS = {
    "accuracy": PERCENT,
    "macro_f1": PERCENT,
    "worst_class_accuracy": PERCENT,
    "harmonic_mean": PERCENT,
    "geometric_mean": PERCENT,
    "ece": PERCENT,
    "ece_calibrated": PERCENT,
    "validation_accuracy": PERCENT,
    "true_class_confidence": PERCENT,
    "temperature": "1",
    "spread": POINTS,
    "average_gap": POINTS,
    "gap_without_noise": POINTS,
    "squared_gap_change": SQUARED_POINTS,
    "accuracy_gain": POINTS,
    "spread_gain": POINTS,
    "imbalance_factor": "max/min",
    "parameters": "count",
    "gflops": "GFLOPs per image",
    "training_gflops": "GFLOPs per image",
    "images_per_second": "images/s",
    "training_images_per_second": "images/s",
    "tuning_seconds": "s",
    "peak_memory": "GiB",
}
"""Every metric and its unit."""

KINDS = (
    "zero-shot",
    "tuned",
    "adjusted",
    "fused",
    "imported",
    "scratch",
    "knn",
    "prior",
    "cost",
)

SCHEME_GROUPS = {"all": ("Overall",), "D": D_GROUPS, "P": P_GROUPS, "DxP": CROSS_GROUPS}
"""Groups of classes of each scheme, in the order of tables."""

SPREAD_GROUPS = {"D": "D-Many minus D-Few", "P": "P-Many minus P-Few"}

KEY = [
    "run",
    "dataset",
    "kind",
    "members",
    "peft",
    "loss",
    "adjustment",
    "fusion",
    "seed",
    "split",
    "scheme",
    "group",
    "metric",
]
COLUMNS = [*KEY, "n_classes", "value", "ci_low", "ci_high", "unit"]
PER_CLASS_KEY = [*KEY[: KEY.index("split") + 1], "class_index"]
PER_CLASS_COLUMNS = [
    *PER_CLASS_KEY,
    "class_name",
    "train_count",
    "q",
    "n_images",
    "n_predicted",
    "accuracy",
]
_INTEGERS = {"seed", "n_classes", "class_index", "train_count", "n_images", "n_predicted"}
_FLOATS = {"value", "ci_low", "ci_high", "q", "accuracy"}
DECIMALS = 6
"""Numbers are rounded to this many decimals: the digits after depend on the order of summation."""


@dataclass(frozen=True)
class Layout:
    """Columns and types of a file of scores."""

    what: str
    columns: list[str]
    key: list[str]


SCORES = Layout("score table", COLUMNS, KEY)
PER_CLASS = Layout("table of class accuracies", PER_CLASS_COLUMNS, PER_CLASS_KEY)


def as_frame(rows: "Sequence[dict] | pd.DataFrame", layout: Layout = SCORES) -> "pd.DataFrame":
    """Return rows as a frame with exactly the layout's columns and types, in a fixed order of rows.

    Args:
        rows: Dicts with the layout's columns; `unit` may be missing, it follows from the metric.
        layout: `SCORES` or `PER_CLASS`.

    Raises:
        UserError: a missing, unknown or mistyped column, an unknown kind, metric, scheme or group,
            a duplicate row, an impossible value; says which row.
    """
    import pandas as pd

    frame = pd.DataFrame(rows) if len(rows) else pd.DataFrame(columns=layout.columns)
    if layout is SCORES and "unit" not in frame and "metric" in frame:
        frame = frame.assign(unit=[UNITS.get(metric, "") for metric in frame["metric"]])
    for name in layout.columns:
        if name not in frame:
            raise UserError(f"{layout.what}: column {name!r} is missing")
    unknown = sorted(set(frame.columns) - set(layout.columns))
    if unknown:
        raise UserError(
            f"{layout.what}: unknown column {unknown[0]!r}; allowed: {', '.join(layout.columns)}"
        )
    typed = {name: _typed(frame[name], name, layout.what) for name in layout.columns}
    frame = pd.DataFrame(typed).reset_index(drop=True)
    _check_values(frame, layout)
    return _sorted(frame, layout)


def concatenate(frames: "Sequence[pd.DataFrame]", layout: Layout = SCORES) -> "pd.DataFrame":
    """Return the rows of several tables as one.

    Raises:
        UserError: see `as_frame`; the same row twice is one of the reasons.
    """
    import pandas as pd

    filled = [frame for frame in frames if len(frame)]
    return as_frame(pd.concat(filled, ignore_index=True) if filled else [], layout)


def write_frame(path: str | Path, frame: "pd.DataFrame", layout: Layout = SCORES) -> None:
    """Check and write a table, atomically: `.parquet` (zstd) or `.csv`, by the suffix.

    Equal tables give equal bytes.

    Raises:
        UserError: see `as_frame`, another suffix, or the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    frame = as_frame(frame, layout)
    with atomic_path(_known_suffix(path)) as temporary:
        if path.suffix == ".parquet":
            table = pa.Table.from_pandas(frame, _arrow_schema(layout), preserve_index=False)
            table = table.replace_schema_metadata({"dualtail": layout.what})
            pq.write_table(table, temporary, compression="zstd")
        else:
            frame.to_csv(temporary, index=False, lineterminator="\n")


def read_frame(path: str | Path, layout: Layout = SCORES) -> "pd.DataFrame":
    """Read and check a table that `write_frame` wrote, or one made by hand (CSV).

    Raises:
        UserError: no such file, not such a table, or see `as_frame`; the message names the file.
    """
    import pandas as pd
    import pyarrow as pa

    path = _known_suffix(Path(path))
    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
        else:
            # Class names such as "null" and empty cells are text, not missing values.
            text = sorted(set(layout.columns) - _INTEGERS - _FLOATS)
            frame = pd.read_csv(
                path,
                dtype=dict.fromkeys(text, str),
                keep_default_na=False,
                na_values={name: [""] for name in sorted(_INTEGERS | _FLOATS)},
            )
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UserError(f"{path}: not a {layout.what}: {error}".split("\n")[0]) from error
    try:
        return as_frame(frame, layout)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _known_suffix(path: Path) -> Path:
    if path.suffix not in (".parquet", ".csv"):
        raise UserError(f"{path}: tables of scores are .parquet or .csv files")
    return path


def _arrow_schema(layout: Layout) -> "pa.Schema":
    import pyarrow as pa

    def kind(name: str) -> "pa.DataType":
        return pa.int64() if name in _INTEGERS else pa.float64() if name in _FLOATS else pa.string()

    return pa.schema([(name, kind(name)) for name in layout.columns])


def _typed(column: "pd.Series", name: str, what: str) -> "pd.Series":
    import pandas as pd

    try:
        if name in _INTEGERS:
            return pd.to_numeric(column).astype("Int64")
        if name in _FLOATS:
            numbers = pd.to_numeric(column).astype("float64")
            return numbers if name == "q" else numbers.round(DECIMALS)
    except (TypeError, ValueError) as error:
        raise UserError(f"{what}: column {name!r} must hold numbers: {error}") from None
    wrong = [value for value in column if not isinstance(value, str)]
    if wrong:
        raise UserError(f"{what}: column {name!r} must hold text, not {wrong[0]!r}")
    return column.astype("str")


def _check_values(frame: "pd.DataFrame", layout: Layout) -> None:
    def refuse(wrong: "np.ndarray | pd.Series", why: str) -> None:
        rows = np.flatnonzero(np.asarray(wrong, dtype=bool))
        if rows.size:
            row = {key: str(frame[key].iloc[int(rows[0])]) for key in layout.key}
            name = ", ".join(f"{key}={value}" for key, value in row.items() if value)
            raise UserError(f"{layout.what}: {why} in the row {name}")

    allowed = {"kind": KINDS, "metric": tuple(UNITS), "scheme": tuple(SCHEME_GROUPS)}
    for name, known in allowed.items():
        if name in frame:
            wrong = ~frame[name].isin(known)
            refuse(wrong, f"unknown {name}; known: {', '.join(known)};")
    refuse(frame.duplicated(layout.key), "the same number twice:")
    if layout is PER_CLASS:
        refuse((frame["accuracy"] < 0) | (frame["accuracy"] > 100), "accuracy outside 0..100 %")
        return
    groups = {(s, g) for s, names in SCHEME_GROUPS.items() for g in names}
    groups |= set(SPREAD_GROUPS.items())
    pairs = zip(frame["scheme"], frame["group"], strict=True)
    refuse(np.array([pair not in groups for pair in pairs]), "a group that is not of its scheme")
    refuse(frame["unit"] != frame["metric"].map(UNITS), "a unit that is not that of its metric")
    share = frame["unit"] == PERCENT
    for name in ("value", "ci_low", "ci_high"):
        refuse(np.isinf(frame[name]), f"{name} is infinite")
        refuse(share & ((frame[name] < 0) | (frame[name] > 100)), f"{name} outside 0..100 %")
    refuse(frame["ci_low"] > frame["ci_high"], "ci_low above ci_high")
    is_accuracy = (frame["metric"] == "accuracy") & (frame["n_classes"].fillna(0) > 0)
    refuse(is_accuracy & frame["value"].isna(), "no accuracy (write it, or leave the row out)")


def _sorted(frame: "pd.DataFrame", layout: Layout) -> "pd.DataFrame":
    """Sort rows by their key: groups in the order of tables, the rest by the alphabet."""
    orders = {
        "scheme": list(SCHEME_GROUPS),
        "kind": list(KINDS),
        "metric": list(UNITS),
        "group": [
            *(name for names in SCHEME_GROUPS.values() for name in names),
            *SPREAD_GROUPS.values(),
        ],
    }
    ranks = {name: {value: i for i, value in enumerate(known)} for name, known in orders.items()}

    def rank(column: "pd.Series") -> "pd.Series":
        known = ranks.get(str(column.name))
        return column if known is None else column.map(known)

    return frame.sort_values(layout.key, key=rank, kind="stable", ignore_index=True)
