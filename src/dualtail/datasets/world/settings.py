"""Settings of the embedded world, as written in the `world:` section of a configuration file."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from dualtail.config.paths import ConfigPath
from dualtail.config.section import Section

Style = Literal["smooth", "blocks"]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Visibility = tuple[Probability, Probability, Probability]

DOWNSTREAM = (
    "datasets",
    "fine_grained",
    "visibility_downstream",
    "train_count_max",
    "train_count_min",
    "val_per_class",
    "test_per_class",
    "pools",
    "pairs_per_class",
    "min_classes_per_cell",
)
"""Settings that corpora do not depend on."""


class FineGrained(Section):
    """A downstream dataset whose classes are species: finer than those of the corpora."""

    species: int = Field(default=2, ge=2, le=8)
    """species that each creature is split into: the first looks like the creature of the corpora, the
    others a little different in head and body"""

    train_count_max: PositiveInt = 200
    """training images of the largest species"""

    train_count_min: PositiveInt = 2
    """training images of the smallest species"""

    test_per_class: PositiveInt = 25
    """test images per species"""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.train_count_min > self.train_count_max:
            raise ValueError("train_count_min must not exceed train_count_max")
        return self


class WorldSettings(Section):
    """Procedurally drawn creatures, upstream corpora and downstream datasets.

    Everything the world contains is a pure function of these settings; a change of any of them is
    another world.
    """

    seed: NonNegativeInt = 0
    """seed of the whole world: codes, names, priors, orders and images"""

    n_classes: int = Field(default=60, ge=2, le=480)
    """number of classes (creatures), the same everywhere"""

    image_size: int = Field(default=32, ge=8, le=1024)
    """side in pixels of the images that models see"""

    display_size: int = Field(default=128, ge=8, le=1024)
    """side in pixels of the same images drawn for people"""

    # Upstream corpora -------------------------------------------------------------------------
    corpora: dict[str, Probability] = Field(
        default_factory=lambda: {"clip": 0.5, "openclip": 0.8, "metaclip": 0.2}, min_length=1
    )
    """the upstream corpora, one per foundation model: share of the classes of which mostly the head
    is visible there (of the others it is mostly the body)"""

    unbiased: dict[str, str] = {}
    """corpora without visibility bias: name -> corpus that they copy, except that every class
    shows either side equally often"""

    corpus_size: PositiveInt = 12_000
    """images (with captions) in a corpus"""

    corpus_imbalance: float = Field(default=57.0, ge=1.0, le=1e6)
    """imbalance factor of a corpus: images of its most frequent class over those of its rarest"""

    corpus_correlation: float = Field(default=0.67, ge=0.0, lt=1.0)
    """rank correlation (Spearman) aimed at between the class priors of two corpora"""

    corpus_block_share: Probability = 0.35
    """share of a corpus drawn in the style `blocks`; the rest is `smooth`"""

    visibility_frequent: Visibility = (0.25, 0.65, 0.10)
    """upstream probabilities that both parts, the class's own side only, and the other side only
    are visible, for the most frequent class of a corpus"""

    visibility_rare: Visibility = (0.12, 0.85, 0.03)
    """the same for the rarest class; in between, linear in the log of the prior"""

    # Downstream datasets ----------------------------------------------------------------------
    datasets: dict[str, Style] = Field(
        default_factory=lambda: {"world_objects": "smooth", "world_places": "blocks"}, min_length=1
    )
    """the downstream datasets and the style of each: `smooth` backgrounds, or `blocks` (pixel-block
    clutter; smaller, desaturated creatures)"""

    fine_grained: dict[str, FineGrained] = {}
    """datasets whose classes are finer than those of the corpora"""

    visibility_downstream: Visibility = (0.4, 0.3, 0.3)
    """downstream probabilities that both parts, the head only, and the body only are visible, for
    every class"""

    train_count_max: PositiveInt = 260
    """training images of the largest class"""

    train_count_min: PositiveInt = 5
    """training images of the smallest class; counts fall exponentially in between"""

    val_per_class: PositiveInt = 20
    """validation images per class (balanced)"""

    test_per_class: PositiveInt = 50
    """test images per class (balanced)"""

    pools: dict[str, int] = {}
    """datasets that also have a pool, and its images per class: a large balanced set of training
    images, from which the training sets of Table 13 are drawn"""

    pairs_per_class: NonNegativeInt = 10
    """test images per class that are also drawn with both parts visible, with the head hidden and
    with the body hidden, everything else equal (interventions)"""

    min_classes_per_cell: NonNegativeInt = 3
    """least number of classes in each of the nine cells D-group x P-group (thirds of the true
    prior), for every corpus; the class order is chosen accordingly"""

    # Nuisance ---------------------------------------------------------------------------------
    rotation: float = Field(default=0.2, ge=0.0, le=3.15)
    """largest rotation of a creature, in radians"""

    shift: float = Field(default=0.08, ge=0.0, le=0.5)
    """largest shift along each axis; an image is 2 wide"""

    scale_min: float = Field(default=0.8, gt=0.2, le=2.0)
    """smallest size of a creature"""

    scale_max: float = Field(default=1.1, gt=0.2, le=2.0)
    """largest size of a creature"""

    distractors: int = Field(default=2, ge=0, le=8)
    """distracting blobs behind the creature"""

    clutter: float = Field(default=0.25, ge=0.0, le=1.0)
    """contrast of the background"""

    background_saturation: float = Field(default=0.2, ge=0.0, le=1.0)
    """color saturation of the background"""

    hue_jitter: float = Field(default=0.03, ge=0.0, le=0.5)
    """largest shift of a part's hue (1 is the whole circle)"""

    light_jitter: float = Field(default=0.12, ge=0.0, lt=1.0)
    """largest relative change of an image's brightness"""

    block_probability: Probability = 0.12
    """style `blocks`: probability that a background block is brightly colored"""

    blocks_scale: float = Field(default=0.9, gt=0.2, le=1.0)
    """style `blocks`: size of creatures relative to `smooth`"""

    blocks_saturation: float = Field(default=0.8, ge=0.0, le=1.0)
    """style `blocks`: color saturation relative to `smooth`"""

    def of_corpora(self) -> "WorldSettings":
        """Return these settings without what corpora do not depend on: downstream at its defaults.

        Nor does a corpus depend on those without bias.
        """
        fields = {name: WorldSettings.model_fields[name] for name in (*DOWNSTREAM, "unbiased")}
        return self._with({k: f.get_default(call_default_factory=True) for k, f in fields.items()})

    def of_corpus(self, name: str) -> "WorldSettings":
        """Return these settings without what one corpus does not depend on."""
        own = {key: base for key, base in self.unbiased.items() if key == name}
        return self.of_corpora()._with({"unbiased": own})

    def of_dataset(self, name: str) -> "WorldSettings":
        """Return these settings without the other datasets."""
        fine = {key: value for key, value in self.fine_grained.items() if key == name}
        pools = {key: value for key, value in self.pools.items() if key == name}
        own = {"datasets": {name: self.datasets[name]}, "fine_grained": fine, "pools": pools}
        return self._with({"unbiased": {}} | own)

    def _with(self, changes: dict[str, Any]) -> "WorldSettings":
        """What is drawn, some settings changed; where it is written is none of them."""
        own = {name: getattr(self, name) for name in WorldSettings.model_fields}
        return WorldSettings.model_construct(**own | changes)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("visibility_frequent", "visibility_rare", "visibility_downstream"):
            if abs(sum(getattr(self, name)) - 1.0) > 1e-6:
                raise ValueError(f"{name}: the three probabilities must sum to 1")
        if self.train_count_min > self.train_count_max:
            raise ValueError("train_count_min must not exceed train_count_max")
        if self.scale_min > self.scale_max:
            raise ValueError("scale_min must not exceed scale_max")
        if self.corpus_size < self.n_classes:
            raise ValueError("corpus_size must be at least n_classes")
        if self.pairs_per_class > self.test_per_class:
            raise ValueError("pairs_per_class must not exceed test_per_class")
        for name, size in self.pools.items():
            if name not in self.datasets:
                raise ValueError(f"pools: {name!r} is not one of the world's datasets")
            if size < 1:
                raise ValueError(f"pools.{name}: must be at least 1")
        for name, fine in self.fine_grained.items():
            if name not in self.datasets:
                raise ValueError(f"fine_grained: {name!r} is not one of the world's datasets")
            if self.n_classes * fine.species > 480:
                raise ValueError(f"fine_grained.{name}: n_classes x species must not exceed 480")
            if self.pairs_per_class > fine.test_per_class:
                raise ValueError(
                    f"pairs_per_class must not exceed fine_grained.{name}.test_per_class"
                )
        for name, base in self.unbiased.items():
            if base not in self.corpora:
                raise ValueError(
                    f"unbiased.{name}: {base!r} is not one of the world's corpora: "
                    f"{', '.join(self.corpora)}"
                )
        names = [*self.corpora, *self.unbiased, *self.datasets]
        taken = {name for name in names if names.count(name) > 1}
        if taken:
            raise ValueError(f"corpora and datasets need different names: {sorted(taken)}")
        for name in names:
            if not name or not name.replace("_", "").replace("-", "").isalnum():
                raise ValueError(f"{name!r}: use letters, digits, '_' and '-' only")
        return self


class World(WorldSettings):
    """The world of a run: what it draws, and where to."""

    folder: ConfigPath = Path("data/world")
    """folder of what is drawn: corpora in <folder>/corpora/<corpus>, datasets in <folder>/<dataset>"""
