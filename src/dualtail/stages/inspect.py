"""Stage inspect: what a dump says about itself."""

from pathlib import Path

import numpy as np

from dualtail.outputs import read_outputs


def describe(path: Path) -> str:
    """Return a few lines about a dump: what, how much, from what, and its plain accuracy.

    Raises:
        UserError: see `dualtail.outputs.read_outputs`.
    """
    outputs = read_outputs(path)
    header = outputs.header
    predictions = np.concatenate(
        [
            np.argmax(outputs.logits[start : start + 4096], axis=1)
            for start in range(0, outputs.n_images, 4096)
        ]
    )
    counts = np.bincount(outputs.labels, minlength=outputs.n_classes)
    features = "none" if outputs.features is None else f"{outputs.features.shape[1]} wide"
    rows = [
        ("file", f"{path} ({path.stat().st_size / 2**20:.1f} MiB)"),
        ("what", header.title),
        ("images", f"{outputs.n_images:,} (split {header.split_hash[:12]})"),
        ("classes", f"{outputs.n_classes:,} ({counts.min()} to {counts.max()} images each)"),
        ("logits", f"{outputs.logits.dtype}, {_range(outputs.logits)}"),
        ("features", features),
        ("accuracy", f"{100 * np.mean(predictions == outputs.labels):.2f} %"),
        (
            "never predicted",
            f"{np.sum(np.bincount(predictions, minlength=len(counts)) == 0)} classes",
        ),
        ("written by", f"dualtail {header.code_version}, schema {header.schema_version}"),
    ]
    if header.weights:
        rows.append(("P(c)", ", ".join(f"{weight:.4g}" for weight in header.weights)))
    for model in header.models:
        parts = [
            model.architecture,
            f"weights {model.weights_hash[:12]}",
            model.activation,
            f"transform {model.transform}",
            f"prompts {model.prompts}",
            model.precision,
        ]
        if model.adapter_hash:
            parts.append(f"adapter {model.adapter_hash[:12]}")
        rows.append((f"model {model.member}", ", ".join(part for part in parts if part)))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _range(logits: np.ndarray) -> str:
    low = min(float(logits[s : s + 4096].min()) for s in range(0, len(logits), 4096))
    high = max(float(logits[s : s + 4096].max()) for s in range(0, len(logits), 4096))
    return f"{low:.4g} to {high:.4g}"
