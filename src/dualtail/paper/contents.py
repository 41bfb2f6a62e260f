"""The paper's tables and figures, and what a study must have for each. Free of pandas."""

from typing import Any

TABLES: dict[int, str] = {
    1: "",
    2: "members ce la",
    3: "ce",
    4: "ce la val",
    5: "la fusion places365_lt",
    6: "la fusion imagenet_lt",
    7: "la fusion inat2018",
    8: "la fusion probabilities",
    9: "la",
    10: "",
    11: "pefts la fusion probabilities",
    12: "la decoupling",
    13: "reordered",
    14: "",
    15: "la members fusion occlusion",
    16: "confounder",
}
"""Number of a table -> what it needs, as words of `NEEDS`."""

FIGURES: dict[int, str] = {
    1: "",
    2: "ce la",
    3: "ce la",
    4: "ce la",
    5: "",
    6: "la members fusion",
    7: "reordered",
    8: "la members fusion occlusion",
    9: "scratch",
    10: "ce la",
    11: "confounder",
    12: "confounder",
}
"""Number of a figure -> what it needs."""

NEEDS: dict[str, str] = {
    "members": "two or more entries in study.members",
    "pefts": "two or more entries in study.pefts",
    "ce": "ce in study.losses",
    "la": "la in study.losses",
    "decoupling": "decoupling in study.losses, or in the losses of study.variants",
    "occlusion": "images with a part hidden, datasets.NAME.occlusion, of a dataset of the study",
    "reordered": "reordered in the entry of one of study.datasets",
    "fusion": "la in fusion.losses and logits in fusion.modes, if there are two or more members",
    "probabilities": "probabilities in fusion.modes, if there are two or more members",
    "val": "a dataset with a val split",
    "places365_lt": "a dataset with the role places365_lt",
    "imagenet_lt": "a dataset with the role imagenet_lt",
    "inat2018": "a dataset with the role inat2018",
    "scratch": "scratch.dataset in study.datasets and scratch.loss in study.losses",
    "confounder": "confounder.stable_diffusion, or a confounder and datasets of the world",
}
"""Requirement of a table or figure -> how to meet it."""


def fillable(config: Any) -> tuple[list[int], list[int]]:
    """Return the tables and the figures that a study can fill.

    Args:
        config: The `Config`. Its model is not imported here, or tables would be made again with every
            edit of it.
    """
    has = _has(config)
    tables, figures = (
        [number for number, needs in known.items() if has.issuperset(needs.split())]
        for known in (TABLES, FIGURES)
    )
    return tables, figures


def left_out(config: Any) -> list[str]:
    """Return a line for every table and figure that a study cannot fill, with the reason."""
    has = _has(config)
    return [
        f"{what} {number} is left out: it needs {'; '.join(NEEDS[need] for need in lacks)}"
        for what, known in (("table", TABLES), ("figure", FIGURES))
        for number, needs in known.items()
        if (lacks := [need for need in needs.split() if need not in has])
    ]


def _has(config: Any) -> set[str]:
    """Words of `NEEDS` that a study has."""
    study, fusion, scratch, confounder = (
        getattr(config, name) for name in ("study", "fusion", "scratch", "confounder")
    )
    datasets = [config.datasets[name] for name in study.datasets]
    drawn = any(config.is_drawn(name) for name in study.datasets)
    losses = {*study.losses, *(loss for more in study.variants for loss in more.losses)}
    has = {
        "members": len(study.members) > 1,
        "pefts": len(study.pefts) > 1,
        "ce": "ce" in study.losses,
        "la": "la" in study.losses,
        "decoupling": "decoupling" in losses,
        "occlusion": any(dataset.occlusion is not None for dataset in datasets),
        "reordered": config.reordered_dataset is not None,
        "fusion": len(study.members) == 1 or ("la" in fusion.losses and "logits" in fusion.modes),
        "probabilities": len(study.members) == 1 or "probabilities" in fusion.modes,
        "val": any(dataset.val is not None for dataset in datasets),
        "scratch": scratch is not None
        and scratch.dataset in study.datasets
        and scratch.loss in study.losses,
        "confounder": confounder is not None and (confounder.stable_diffusion is not None or drawn),
    }
    return {name for name, is_there in has.items() if is_there} | {d.role for d in datasets}
