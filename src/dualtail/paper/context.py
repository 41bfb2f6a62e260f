"""Context of tables and figures besides the scores: names, order, roles."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dualtail.bias.member_sets import member_sets
from dualtail.confounder.files import ConfounderFiles
from dualtail.datasets.settings import ORDERS
from dualtail.errors import UserError
from dualtail.explain.splits import is_explained

if TYPE_CHECKING:
    import pandas as pd

    from dualtail.explain.examples import Examples


NOTHING_FUSED = (
    "nothing is fused: study.members needs two or more models, and fusion.losses a loss of the study or "
    "fusion.zero_shot true"
)


@dataclass(frozen=True)
class ReorderedSets:
    """The training sets of Table 13."""

    parent: str
    """dataset whose test split is predicted"""
    member: str
    peft: str
    loss: str
    datasets: Mapping[str, tuple[str, ...]]
    """order (consistency, reverse, balance) -> names of the samples as datasets"""


@dataclass(frozen=True)
class PaperContext:
    """The run as the paper's tables and figures see it."""

    run: str
    datasets: Mapping[str, str]
    """dataset -> label, in the order of columns"""
    members: Mapping[str, str]
    """foundation model -> label, in the order of rows and of fusion"""
    pefts: Mapping[str, str]
    """PEFT entry -> label; the first is the one of tables that show a single one"""
    losses: Mapping[str, str] = field(default_factory=dict)
    """loss -> label, where the config gives one"""
    roles: Mapping[str, str] = field(default_factory=dict)
    """dataset -> dataset of the paper whose place it takes (places365_lt ...)"""
    official: Mapping[str, str] = field(default_factory=dict)
    """dataset -> dataset of the paper whose official lists it was checked to have"""
    without_val: tuple[str, ...] = ()
    """datasets that have no validation split"""
    primary: str = ""
    """member whose single-model results and q figures show; empty: the first"""
    seeds: tuple[int, ...] = (0,)
    """tuning seeds; tables show their mean"""
    peft_seeds: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """PEFT entry -> its tuning seeds, where they are not `seeds`"""
    loss_seeds: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """loss -> its tuning seeds, where it is one of `study.variants` and has seeds of its own"""
    config: Mapping[str, Any] = field(default_factory=dict)
    """the resolved config"""
    priors: "Mapping[tuple[str, str], pd.DataFrame]" = field(default_factory=dict)
    """(dataset, member) -> class_index, class_name, q and, where the truth is known, q_true"""
    reordered: ReorderedSets | None = None
    world: bool = False
    """whether data of this run come from the embedded world, where the truth is known"""
    examples: "Mapping[str, Examples]" = field(default_factory=dict)
    """dataset -> explained images that figures show, for Figures 4, 8, 10 and Table 15"""
    grad_cam: "pd.DataFrame | None" = None
    """shares of Grad-CAM maps by region; empty where regions are not known"""
    confounder: ConfounderFiles | None = None
    """files of the six-class study"""

    def __post_init__(self) -> None:
        """Refuse a context from which nothing can be built."""
        for name in ("datasets", "members", "pefts", "seeds"):
            if not getattr(self, name):
                raise UserError(f"tables and figures need at least one entry of {name}")
        if self.primary and self.primary not in self.members:
            raise UserError(f"primary member {self.primary!r}; known: {', '.join(self.members)}")

    @classmethod
    def from_config(cls, config: Mapping[str, Any], **files: Any) -> "PaperContext":
        """Return the context of a resolved config (the run's `config.yaml`).

        Args:
            config: The resolved config.
            files: `priors`, `examples`, `grad_cam` and `confounder`, as read.
        """
        study, drawn = config["study"], (config["world"] or {}).get("datasets", {})
        datasets = {name: config["datasets"][name] for name in study["datasets"]}
        pefts = {name: config["pefts"][name] for name in study["pefts"]}
        return cls(
            run=config["run"],
            datasets={name: entry["label"] for name, entry in datasets.items()},
            members={name: config["foundation"][name]["label"] for name in study["members"]},
            pefts={name: entry["label"] for name, entry in pefts.items()},
            losses={
                name: entry["label"]
                for name, entry in config.get("losses", {}).items()
                if entry.get("label")
            },
            roles={name: entry["role"] for name, entry in datasets.items() if entry["role"]},
            official={n: entry["official"] for n, entry in datasets.items() if entry["official"]},
            without_val=tuple(name for name, entry in datasets.items() if entry["val"] is None),
            primary=config["scores"]["p_groups_from"],
            seeds=tuple(study["seeds"]),
            peft_seeds={
                name: tuple(entry["seeds"])
                for name, entry in pefts.items()
                if entry["seeds"] is not None
            },
            loss_seeds={
                loss: tuple(variant["seeds"])
                for variant in study.get("variants", [])
                for loss in variant["losses"]
                if variant["seeds"] and loss not in study["losses"]
            },
            config=config,
            reordered=_reordered(config),
            world=any(name in drawn for name in datasets),
            **files,
        )

    @property
    def first_member(self) -> str:
        """The member that stands for a single model."""
        return self.primary or next(iter(self.members))

    @property
    def first_peft(self) -> str:
        """The PEFT entry of tables and figures that show only one."""
        return next(iter(self.pefts))

    @property
    def first_seed(self) -> int:
        """The first tuning seed of that entry."""
        return self._seeds_of_peft(self.first_peft)[0]

    @property
    def first_tuning(self) -> dict[str, str | int]:
        """PEFT entry and seed of the models that are explained: Table 15, Figures 4, 8 and 10."""
        return {"peft": self.first_peft, "seed": self.first_seed}

    @property
    def places(self) -> str:
        """The dataset in Places365-LT's role, else the first: Table 2, 14, Figures 2, 6."""
        return self.in_role("places365_lt") or next(iter(self.datasets))

    @property
    def two_datasets(self) -> list[str]:
        """The datasets in the roles of ImageNet-LT and Places365-LT, else the first ones: Figure 3."""
        named = filter(None, map(self.in_role, ("imagenet_lt", "places365_lt")))
        chosen = list(dict.fromkeys([*named, *self.datasets]))[:2]
        return [dataset for dataset in self.datasets if dataset in chosen]

    def in_role(self, role: str) -> str | None:
        """The dataset that takes the place of one of the paper's, or None."""
        return next((name for name in self.datasets if self.roles.get(name) == role), None)

    def is_official(self, dataset: str) -> bool:
        """Whether a dataset is the very one of the paper whose place it takes."""
        return bool(self.roles.get(dataset)) and self.official.get(dataset) == self.roles[dataset]

    def tuning_of(self, dataset: str) -> Mapping[str, Any]:
        """The tuning settings of one dataset: `tuning` with its own changes."""
        changes = self.config.get("datasets", {}).get(dataset, {}).get("tuning", {})
        return {**self.config.get("tuning", {}), **changes}

    def prior_split(self, dataset: str) -> str:
        """The split on which a dataset's priors were estimated."""
        own = self.config.get("datasets", {}).get(dataset, {})
        return own.get("prior_split") or self.config.get("prior", {}).get("split", "val")

    def seeds_of(
        self, dataset: str, split: str = "", peft: str = "", loss: str = ""
    ) -> tuple[int, ...]:
        """Tuning seeds of a PEFT entry and a loss on a dataset; without an entry those of the run.

        The first alone for the samples of Table 13, which are its replicates, and for images that are
        explained.
        """
        sets = self.reordered.datasets.values() if self.reordered else ()
        single = is_explained(split) or any(dataset in names for names in sets)
        seeds = self.loss_seeds.get(loss) or self._seeds_of_peft(peft)
        return seeds[:1] if single else seeds

    def _seeds_of_peft(self, peft: str) -> tuple[int, ...]:
        return self.peft_seeds.get(peft, self.seeds)

    def labels_by_seeds(self, pefts: Iterable[str]) -> dict[tuple[int, ...], list[str]]:
        """Tuning seeds -> labels of the PEFT entries that have them."""
        found: dict[tuple[int, ...], list[str]] = {}
        for peft in pefts:
            found.setdefault(self._seeds_of_peft(peft), []).append(self.pefts[peft])
        return found

    def seeds_note(self, *pefts: str) -> list[str]:
        """A sentence on the seeds of the PEFT entries that are shown (none: the first).

        Nothing if no PEFT entry of the run has several seeds.
        """
        if all(len(self._seeds_of_peft(peft)) == 1 for peft in self.pefts):
            return []
        by_seeds = self.labels_by_seeds(pefts or [self.first_peft])
        said = [
            _seeds_in_words(seeds) + (f" ({', '.join(labels)})" if len(by_seeds) > 1 else "")
            for seeds, labels in by_seeds.items()
        ]
        held = "intervals hold test sampling, and training seeds where there are several."
        return [f"Tuned models: {', '.join(said)}; {held}"]

    @property
    def occluded(self) -> list[str]:
        """Datasets with images of which parts are hidden."""
        return [d for d in self.datasets if d in self.examples and self.examples[d].is_occluded]

    def examples_of(self, dataset: str) -> "Examples":
        """Return the explained images of a dataset.

        Raises:
            UserError: there are none.
        """
        if dataset not in self.examples:
            raise UserError(
                f"no explained images of {dataset}: `dualtail score-explanations` chooses them, "
                "and --examples takes its file"
            )
        return self.examples[dataset]

    @property
    def six_classes(self) -> ConfounderFiles:
        """Files of the six-class study.

        Raises:
            UserError: the run has none.
        """
        if self.confounder is None:
            raise UserError("this run has no six-class study: set `confounder` in the config")
        return self.confounder

    def reordered_sets(self) -> ReorderedSets:
        """Return the training sets of Table 13, which must be there.

        Raises:
            UserError: the study has none.
        """
        if self.reordered is None:
            raise UserError("table 13 and figure 7 need reordered in an entry of datasets")
        return self.reordered

    def fusion_label(self, mode: str) -> str:
        """Return the label of a fusion rule, which follows "fused by"."""
        return self.config.get("fusion", {}).get("rules", {}).get(mode, {}).get("label") or mode

    def has(self, dataset: str, members: str, peft: str = "") -> bool:
        """Whether the study has all of these; members may be joined by +."""
        known = set(members.split("+")) <= set(self.members)
        return known and dataset in self.datasets and peft in ("", *self.pefts)

    def members_label(self, members: str) -> str:
        """Return `clip+openclip` or `clip|openclip` with the labels of the members."""
        for separator, shown in (("+", " + "), ("|", "-")):
            if separator in members:
                return shown.join(self.members_label(part) for part in members.split(separator))
        return self.members[members]

    def subsets(self) -> list[tuple[str, ...]]:
        """Return the sets of members of Table 8, in its order of rows."""
        return member_sets(tuple(self.members))


def _seeds_in_words(seeds: Sequence[int]) -> str:
    *first, last = map(str, seeds)
    if not first:
        return f"the tuning seed {last} alone"
    return f"means over the tuning seeds {', '.join(first)} and {last}"


def _reordered(config: Mapping[str, Any]) -> ReorderedSets | None:
    having = [d for d in config["study"]["datasets"] if config["datasets"][d].get("reordered")]
    if not having:
        return None
    parent = having[0]
    settings = config["datasets"][parent]["reordered"]
    samples = range(1, settings["samples"] + 1)
    return ReorderedSets(
        parent=parent,
        member=config["scores"]["p_groups_from"],
        peft=config["study"]["pefts"][0],
        loss=settings["loss"],
        datasets={order: tuple(f"{parent}.{order}.{n}" for n in samples) for order in ORDERS},
    )
