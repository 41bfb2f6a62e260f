"""The paper's tables and figures, and what a study must have for each. Free of pandas."""

TABLES: dict[int, str] = {
    1: "",
    2: "members ce la",
    3: "ce",
    4: "ce la val",
    5: "la fusion places365_lt",
    6: "la fusion imagenet_lt",
    7: "la fusion inat2018",
    8: "la fusion",
    9: "la",
    10: "",
    11: "pefts la fusion",
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
    "decoupling": "decoupling in the losses of study.variants",
    "occlusion": "images with a part hidden, datasets.NAME.occlusion, of a dataset of the study",
    "reordered": "reordered in the entry of one of study.datasets",
    "fusion": "la in fusion.losses and logits in fusion.modes, if there are two or more members",
    "val": "a dataset with a val split",
    "places365_lt": "a dataset with the role places365_lt",
    "imagenet_lt": "a dataset with the role imagenet_lt",
    "inat2018": "a dataset with the role inat2018",
    "scratch": "scratch.dataset in study.datasets and scratch.loss in study.losses",
    "confounder": "confounder.stable_diffusion, or a confounder and datasets of the world",
}
"""What a study can lack -> how to have it."""
