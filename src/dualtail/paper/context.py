"""What tables and figures need to know besides the scores: names, order, roles."""

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


@dataclass(frozen=True)
class ReorderedSets:
    """The training sets of Table 13.

    Attributes:
        parent: Dataset whose test split is predicted.
        member, peft, loss: What is tuned on them.
        datasets: Order (consistency, reverse, balance) -> names of the samples as datasets.
    """

    parent: str
    member: str
    peft: str
    loss: str
    datasets: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class PaperContext:
    """The run as the paper's tables and figures see it.

    Attributes:
        run: Name of the run.
        datasets: Dataset -> label, in the order of columns.
        members: Foundation model -> label, in the order of rows and of fusion.
        pefts: PEFT entry -> label; the first is the one of tables that show a single one.
        roles: Dataset -> dataset of the paper whose place it takes (places365_lt ...).
        official: Dataset -> dataset of the paper whose official lists it was checked to have.
        without_val: Datasets that have no validation split.
        primary: Member whose single-model results and q figures show; "" is the first.
        seeds: Tuning seeds; tables show their mean.
        peft_seeds: PEFT entry -> its tuning seeds, where they are not `seeds`.
        split: Split that is shown.
        config: The resolved config as a dict, for Table 10.
        priors: (dataset, member) -> estimated prior: columns class_index, class_name, q and, where
            the truth is known, q_true.
        reordered: The training sets of Table 13, if the study has them.
        world: Whether data of this run come from the embedded world, where the truth is known.
        examples: Dataset -> explained images that figures show, for Figures 4, 8, 10 and Table 15.
        grad_cam: Shares of Grad-CAM maps by region, or None; empty where regions are not known.
        confounder: Files of the six-class study, if the run has it.
    """

    run: str
    datasets: Mapping[str, str]
    members: Mapping[str, str]
    pefts: Mapping[str, str]
    roles: Mapping[str, str] = field(default_factory=dict)
    official: Mapping[str, str] = field(default_factory=dict)
    without_val: tuple[str, ...] = ()
    primary: str = ""
    seeds: tuple[int, ...] = (0,)
    peft_seeds: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    split: str = "test"
    config: Mapping[str, Any] = field(default_factory=dict)
    priors: "Mapping[tuple[str, str], pd.DataFrame]" = field(default_factory=dict)
    reordered: ReorderedSets | None = None
    world: bool = False
    examples: "Mapping[str, Examples]" = field(default_factory=dict)
    grad_cam: "pd.DataFrame | None" = None
    confounder: ConfounderFiles | None = None

    def __post_init__(self) -> None:
        """Refuse a context from which nothing can be built.

        Raises:
            UserError: no dataset, member, PEFT entry or seed, or an unknown primary member.
        """
        for name in ("datasets", "members", "pefts", "seeds"):
            if not getattr(self, name):
                raise UserError(f"tables and figures need at least one entry in {name}")
        if self.primary and self.primary not in self.members:
            raise UserError(f"primary member {self.primary!r}; known: {', '.join(self.members)}")

    @classmethod
    def from_config(
        cls,
        config: Mapping[str, Any],
        priors: "Mapping[tuple[str, str], pd.DataFrame] | None" = None,
        examples: "Mapping[str, Examples] | None" = None,
        grad_cam: "pd.DataFrame | None" = None,
        confounder: ConfounderFiles | None = None,
    ) -> "PaperContext":
        """Return the context of a resolved config (the run's `config.yaml`)."""
        study, drawn = config["study"], (config["world"] or {}).get("datasets", {})
        return cls(
            run=config["run"],
            datasets={name: config["datasets"][name]["label"] for name in study["datasets"]},
            members={name: config["foundation"][name]["label"] for name in study["members"]},
            pefts={name: config["pefts"][name]["label"] for name in study["pefts"]},
            roles={
                name: config["datasets"][name]["role"]
                for name in study["datasets"]
                if config["datasets"][name]["role"]
            },
            official={
                name: config["datasets"][name]["official"]
                for name in study["datasets"]
                if config["datasets"][name]["official"]
            },
            without_val=tuple(
                name for name in study["datasets"] if config["datasets"][name]["val"] is None
            ),
            primary=config["scores"]["p_groups_from"],
            seeds=tuple(study["seeds"]),
            peft_seeds={
                name: tuple(seeds)
                for name in study["pefts"]
                if (seeds := config["pefts"][name]["seeds"]) is not None
            },
            config=config,
            priors=priors or {},
            reordered=_reordered(config),
            world=any(name in drawn for name in study["datasets"]),
            examples=examples or {},
            grad_cam=grad_cam,
            confounder=confounder,
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
        """The dataset in Places365-LT's role, else the first: Table 2, 14, Figures 2, 3, 6."""
        return self.in_role("places365_lt") or next(iter(self.datasets))

    def in_role(self, role: str) -> str | None:
        """The dataset that takes the place of one of the paper's, or None."""
        return next((name for name in self.datasets if self.roles.get(name) == role), None)

    def is_official(self, dataset: str) -> bool:
        """Whether a dataset is the very one of the paper whose place it takes."""
        return bool(self.roles.get(dataset)) and self.official.get(dataset) == self.roles[dataset]

    def seeds_of(self, dataset: str, split: str = "", peft: str = "") -> tuple[int, ...]:
        """Tuning seeds of a PEFT entry on a dataset.

        The first alone for the samples of Table 13, which are its replicates, and for images that are
        explained. Without a PEFT entry: those of the run.
        """
        sets = self.reordered.datasets.values() if self.reordered else ()
        single = is_explained(split) or any(dataset in names for names in sets)
        seeds = self._seeds_of_peft(peft)
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
        """A sentence for tables and figures of tuned models: of which seeds their numbers are.

        Args:
            pefts: The PEFT entries that are shown; none: the first.

        Returns:
            Nothing if no PEFT entry of the run has several seeds.
        """
        if all(len(self._seeds_of_peft(peft)) == 1 for peft in self.pefts):
            return []
        by_seeds = self.labels_by_seeds(pefts or [self.first_peft])
        said = [
            _seeds_in_words(seeds) + (f" ({', '.join(labels)})" if len(by_seeds) > 1 else "")
            for seeds, labels in by_seeds.items()
        ]
        return [
            f"Tuned models: {', '.join(said)}; intervals do not hold what further seeds would change."
        ]

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
