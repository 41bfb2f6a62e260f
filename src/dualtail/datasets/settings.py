"""Settings of lists and packs; free of torch and numpy, for quick reading of configs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from dualtail.config.paths import ConfigPath
from dualtail.config.section import Section

NamesFormat = Literal["lines", "folders", "categories"]
NamesVersion = Literal["corrected", "as_published"]
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Order = Literal["consistency", "reverse", "balance"]
"""How the counts of a constructed training set lie along the pre-training prior (Table 13)."""
ORDERS: tuple[Order, ...] = get_args(Order)


class LongTail(Section):
    """Counts that fall from the most frequent class to the rarest."""

    profile: Literal["exponential", "pareto"] = "exponential"
    """how they fall: exponentially, or as a Pareto (Lomax) distribution's quantiles"""

    imbalance_factor: float = Field(default=100.0, ge=1.0, allow_inf_nan=False)
    """images of the most frequent class over those of the rarest"""

    alpha: PositiveFloat = 1.0
    """pareto: shape; the smaller, the closer to exponential"""


def _check_names(splits: Iterable[str]) -> None:
    for name in splits:
        if not name.isidentifier():
            raise ValueError(f"splits: {name!r} is not a name of letters, digits and _")


class TableLists(Section):
    """Lists from a table of images, a line per image."""

    table: ConfigPath
    """CSV with a header, may be gzip'ed"""

    path_column: str = "file"
    """column of the image's path"""

    label_column: str = "label"
    """column of its label, 0..C-1"""

    splits: dict[str, dict[str, str]]
    """list -> the rows in it, as column: value, e.g. {val: {split: val}}; written as <list>.txt"""

    names_table: ConfigPath
    """CSV with a header and a line per class, in any order"""

    name_column: str = "classname"
    """its column of class names; labels stand in `label_column` there too"""

    @model_validator(mode="after")
    def _trains_and_tests(self) -> "TableLists":
        for name in ("train", "test"):
            if name not in self.splits:
                raise ValueError(f"splits: {name} is missing")
        _check_names(self.splits)
        return self

    @property
    def files(self) -> list[Path]:
        """What is read."""
        return [self.table, self.names_table]


class FolderLists(Section):
    """Lists from a folder with a folder of images per class."""

    folder: ConfigPath
    """holds one folder per class, whose name is the class name"""

    long_tail: LongTail = LongTail()
    """training counts"""

    largest: PositiveInt
    """training images of the most frequent class"""

    val_per_class: NonNegativeInt = 0
    """validation images per class; 0: no validation split"""

    test_per_class: PositiveInt
    """test images per class"""

    order: Literal["random", "size"] = "random"
    """which classes are frequent: by the seed, or those with the most images"""

    seed: NonNegativeInt = 0
    """of the order of classes and of the images"""


class CifarLists(Section):
    """CIFAR-100-LT: counts int(500 * (1 / imbalance_factor) ** (c / 99)), balanced test split."""

    folder: ConfigPath
    """holds cifar-100-python, as torchvision downloads it"""

    imbalance_factor: float = Field(default=100.0, ge=1.0, le=500.0)
    """500 over the images of the rarest class: 10, 50 and 100 are usual"""

    seed: NonNegativeInt = 0
    """of the images; 0 draws those of LIFT"""


class AnnotationLists(Section):
    """Lists from annotations in JSON: those of iNaturalist, COCO, or BBN and LIFT; told apart by content."""

    splits: dict[str, ConfigPath]
    """list -> file, e.g. {train: train2018.json, test: val2018.json}; written as <list>.txt"""

    class_names: ConfigPath | None = None
    """file of class names, in the order of the category ids; needed if the annotations have none"""

    strip: str = ""
    """beginning of the paths that is removed, e.g. /data/inat/ of BBN's `fpath`"""

    @model_validator(mode="after")
    def _has_a_list(self) -> "AnnotationLists":
        if not self.splits:
            raise ValueError("splits: none; give e.g. {train: FILE, test: FILE}")
        _check_names(self.splits)
        return self

    @property
    def files(self) -> list[Path]:
        """What is read."""
        return [*self.splits.values(), *([self.class_names] if self.class_names else [])]


class ListSource(Section):
    """The source of a dataset's lists: exactly one of the four."""

    table: TableLists | None = None
    """a table of images"""

    annotations: AnnotationLists | None = None
    """annotations in JSON: those of iNaturalist, COCO, or BBN and LIFT"""

    folder: FolderLists | None = None
    """a folder of images per class, with a long tail that you choose"""

    cifar100: CifarLists | None = None
    """CIFAR-100-LT"""

    @model_validator(mode="after")
    def _exactly_one(self) -> "ListSource":
        kinds = (self.table, self.annotations, self.folder, self.cifar100)
        if sum(value is not None for value in kinds) != 1:
            raise ValueError("give exactly one of table, annotations, folder, cifar100")
        return self

    @property
    def lists(self) -> list[str]:
        """The lists that are made, each written to <list>.txt."""
        for named in (self.table, self.annotations):
            if named is not None:
                return list(named.splits)
        has_val = self.folder is not None and self.folder.val_per_class > 0
        return [split for split in SPLITS if split != "val" or has_val]

    @property
    def files(self) -> list[str]:
        """Everything that is written."""
        more = ["images.zip", "group_counts.csv"] if self.cifar100 is not None else []
        return [*(f"{name}.txt" for name in self.lists), "classnames.txt", *more]


class LongTailSample(Section):
    """Images drawn from a list with a prior of your choice."""

    size: PositiveInt
    """images in the corpus; images of a class with too few are repeated"""

    long_tail: LongTail = LongTail()
    """prior of the corpus"""

    correlation: float = Field(default=0.0, ge=0.0, le=1.0)
    """rank correlation of the priors of corpora with the same `order_seed`, in expectation"""

    order_seed: NonNegativeInt = 0
    """of the order of classes that corpora share"""

    seed: NonNegativeInt = 0
    """of this corpus"""


class PackSettings(Section):
    """How training images are packed if random crops are cut from them: whole, not enlarged.

    Splits that are evaluated are always raw, and equal to Pillow's path to the byte.
    """

    format: Literal["auto", "raw", "jpeg"] = "auto"
    """raw: fastest; jpeg: about a tenth of the disk space; auto: raw up to `raw_limit_gb`"""

    raw_limit_gb: NonNegativeFloat = 40.0
    """auto: largest raw pack, in GB, as estimated from a sample of the images"""

    jpeg_quality: int = Field(default=95, ge=1, le=95)
    """quality of Pillow's JPEG encoder"""
