"""Stage inspect: what a dump says about itself."""

from pathlib import Path

import numpy as np

from dualtail.outputs import ModelRecord, Outputs, read_splits

BLOCK = 4096
"""Rows looked at together."""


def describe(path: Path) -> str:
    """Return a few lines about a dump: from what it is, and of every split how much, and its accuracy."""
    splits = read_splits(path)
    header = splits[0].header
    rows = [
        ("file", f"{path} ({path.stat().st_size / 2**20:.1f} MiB)"),
        ("what", f"{header.predictor} on {header.dataset}"),
        ("written by", f"dualtail {header.code_version}, schema {header.schema_version}"),
    ]
    if header.weights:
        rows.append(("P(c)", ", ".join(f"{weight:.4g}" for weight in header.weights)))
    if header.fit is not None:
        scales = ", ".join(f"{scale:.4g}" for scale in header.fit.whole.scales)
        rows.append(("scales", f"{scales}, fitted on {header.fit.split}"))
    rows += [(f"model {model.member}", _model(model)) for model in header.models]
    for outputs in splits:
        rows += [("", ""), *_split(outputs)]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}".rstrip() for name, value in rows)


def _model(model: ModelRecord) -> str:
    parts = [
        model.architecture,
        f"weights {model.weights_hash[:12]}",
        model.activation,
        f"transform {model.transform}",
        f"prompts {model.prompts}",
        model.precision,
        f"adapter {model.adapter_hash[:12]}" if model.adapter_hash else "",
    ]
    return ", ".join(part for part in parts if part)


def _split(outputs: Outputs) -> list[tuple[str, str]]:
    logits, starts = outputs.logits, range(0, outputs.n_images, BLOCK)
    low = min(float(logits[s : s + BLOCK].min()) for s in starts)
    high = max(float(logits[s : s + BLOCK].max()) for s in starts)
    counts = np.bincount(outputs.labels, minlength=outputs.n_classes)
    predicted = np.bincount(outputs.predicted, minlength=outputs.n_classes)
    right = int((outputs.predicted == outputs.labels).sum())
    features = "none" if outputs.features is None else f"{outputs.features.shape[1]} wide"
    return [
        ("split", outputs.header.split),
        ("images", f"{outputs.n_images:,} (list {outputs.header.split_hash[:12]})"),
        ("classes", f"{outputs.n_classes:,} ({counts.min()} to {counts.max()} images each)"),
        ("logits", f"{logits.dtype}, {low:.4g} to {high:.4g}"),
        ("features", features),
        (
            "accuracy",
            f"{outputs.accuracy:.2f} %, the mean over classes; {right:,} images are right",
        ),
        ("never predicted", f"{np.sum(predicted == 0)} classes"),
    ]
