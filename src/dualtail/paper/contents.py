"""The paper's tables and figures, and what a study must have for each. Free of pandas."""

TABLES: dict[int, str] = {
    1: "",
    2: "members ce la",
    3: "ce",
    8: "la fusion",
    9: "la",
    10: "",
    11: "pefts la fusion",
    12: "la decoupling",
    13: "reordered",
    14: "",
    16: "confounder",
}
"""Number of a table -> what it needs, as words of `NEEDS`."""

FIGURES: dict[int, str] = {
    2: "ce la",
    3: "ce la",
    6: "la members fusion",
    7: "reordered",
    9: "scratch",
    11: "confounder",
    12: "confounder",
}
"""Number of a figure -> what it needs."""

NEEDS: dict[str, str] = {
    "members": "two or more entries in study.members",
    "pefts": "two or more entries in study.pefts",
    "ce": "ce in study.losses",
    "la": "la in study.losses",
    "decoupling": "decoupling in the losses of study.variants",
    "reordered": "reordered in the entry of one of study.datasets",
    "fusion": "la in fusion.losses and logits in fusion.modes, if there are two or more members",
    "scratch": "scratch.dataset in study.datasets and scratch.loss in study.losses",
    "confounder": "confounder.stable_diffusion, or a confounder and datasets of the world",
}
"""What a study can lack -> how to have it."""
