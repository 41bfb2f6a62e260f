"""Settings of image lists that are made here; free of torch and numpy, for quick reading of configs."""

from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from dualtail.config.names import Name, fit_into_paths
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


class TableLists(Section):
    """Lists from a table of images, a line an image."""

    table: ConfigPath
    """CSV with a header, may be gzip'ed"""

    path_column: str = "file"
    """column of the image's path"""

    label_column: str = "label"
    """column of its label, 0..C-1"""

    splits: dict[str, dict[str, str]]
    """list -> the rows in it, as column: value, e.g. {val: {split: val}}; written as <list>.txt"""

    names_table: ConfigPath
    """CSV with a header and a line a class, in any order"""

    name_column: str = "classname"
    """its column of class names; labels stand in `label_column` there too"""

    @model_validator(mode="after")
    def _trains_and_tests(self) -> "TableLists":
        for name in ("train", "test"):
            if name not in self.splits:
                raise ValueError(f"splits: {name} is missing")
        for name in self.splits:
            if not name.isidentifier():
                raise ValueError(f"splits: {name!r} is not a name of letters, digits and _")
        return self


class FolderLists(Section):
    """Lists from a folder with a folder of images a class."""

    folder: ConfigPath
    """holds a folder a class, whose name is the class name"""

    long_tail: LongTail = LongTail()
    """training counts"""

    largest: PositiveInt
    """training images of the most frequent class"""

    val_per_class: NonNegativeInt = 0
    """validation images a class; 0: no validation split"""

    test_per_class: PositiveInt
    """test images a class"""

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


class ListSource(Section):
    """What the lists of a dataset are made from: exactly one of the three."""

    table: TableLists | None = None
    """a table of images"""

    folder: FolderLists | None = None
    """a folder of images a class, with a long tail that you choose"""

    cifar100: CifarLists | None = None
    """CIFAR-100-LT"""

    @model_validator(mode="after")
    def _exactly_one(self) -> "ListSource":
        if sum(value is not None for value in (self.table, self.folder, self.cifar100)) != 1:
            raise ValueError("give exactly one of table, folder, cifar100")
        return self

    @property
    def lists(self) -> list[str]:
        """The lists that are made, each written to <list>.txt."""
        if self.table is not None:
            return list(self.table.splits)
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


class CorpusSample(LongTailSample):
    """A corpus drawn from an image list of a dataset."""

    dataset: Name
    """entry of `datasets` whose images it is drawn from"""

    list: Name = "train"
    """train, or another list that `make_lists` of that dataset writes"""


class PackSettings(Section):
    """How training images are packed if random crops are cut from them: whole, not enlarged.

    Splits that are evaluated are always raw, and equal to Pillow's path to the byte.
    """

    format: Literal["auto", "raw", "jpeg"] = "auto"
    """raw: fastest; jpeg: about a tenth of the room; auto: raw up to `raw_limit_gb`"""

    raw_limit_gb: NonNegativeFloat = 40.0
    """auto: largest raw pack, in GB, as estimated from a sample of the images"""

    jpeg_quality: int = Field(default=95, ge=1, le=95)
    """quality of Pillow's JPEG encoder"""


class ImageListFiles(Section):
    """One split: which images, and where they are."""

    list: ConfigPath
    """text file with one `relative/path.jpg label` a line, under `root`; may be gzip'ed (.txt.gz);
    default: <split>.txt"""

    images: ConfigPath = Path()
    """folder or zip archive that the paths of the list are relative to, under `images_root`"""


class OcclusionImages(Section):
    """The same images with nothing and with one semantic factor hidden (Fig. 8, Table 15)."""

    table: ConfigPath = Path("occlusion.csv")
    """CSV under `root`, a line an image: `label`, and a column path_<condition> for every condition;
    `dualtail occlude` makes one from boxes"""

    images: ConfigPath = Path("occlusion.zip")
    """folder or zip archive that these paths are relative to, under `images_root`"""

    conditions: dict[Name, str] = Field(min_length=2)
    """condition -> name in tables and figures; the first is the one with nothing hidden"""

    @field_validator("conditions")
    @classmethod
    def _names_fit_into_paths(cls, value: dict[str, str]) -> dict[str, str]:
        return fit_into_paths(value)


class Reordered(Section):
    """Training sets drawn from a pool, their counts in the order of the pre-training prior, in the
    opposite order, and equal (Table 13); the model that single-model tables show is tuned on each."""

    pool: ImageListFiles = ImageListFiles(list=Path("pool.txt"))
    """the full training split, under the dataset's root and images_root"""

    samples: PositiveInt = 3
    """training sets of each kind"""

    loss: Name = "la"
    """entry of `losses`"""


class DatasetEntry(Section):
    """A downstream dataset: image lists, images and class names."""

    label: str
    """name in tables and figures"""

    role: Literal["imagenet_lt", "places365_lt", "inat2018", ""] = ""
    """which of the paper's datasets this one stands in for, in tables and figures"""

    root: ConfigPath = Path()
    """folder of the files below; default: the current one. Not given if the world draws the dataset
    or `make_lists` writes its lists"""

    images_root: ConfigPath | None = None
    """folder that images are under; default: `root`, or for `make_lists` the folder of its images or
    table"""

    class_names: ConfigPath = Path("classnames.txt")
    """file of class names, under `root`"""

    names_format: NamesFormat = "lines"
    """lines: a name a line in label order; folders: `folder class name` a line (OLTR, LIFT);
    categories: categories.json of iNaturalist"""

    names: NamesVersion = "corrected"
    """folders: corrected matches names to labels by the folders of the images; as_published goes by
    line number, wrong for five classes of the public file of Places365-LT"""

    official: Literal["imagenet_lt", "places365_lt", "inat2018", ""] = ""
    """dataset whose lists these must be: checked by hash, counts and groups (see `dualtail check-data`)"""

    make_lists: ListSource | None = None
    """make lists and class names from these, in the folder of the run; without it, they must exist"""

    train: ImageListFiles = ImageListFiles(list=Path("train.txt"))
    """long-tailed training split"""

    val: ImageListFiles | None = ImageListFiles(list=Path("val.txt"))
    """balanced split: prior, temperature, kNN bank; null: there is none, and prior_split must be test
    or train (so it is where `make_lists` makes none)"""

    test: ImageListFiles = ImageListFiles(list=Path("test.txt"))
    """balanced split on which everything is scored"""

    prior_split: Literal["val", "test", "train"] | None = None
    """split on which q is estimated, if not `prior.split`; train: label frequencies are divided out,
    and q is cross-fitted (averaged over folds)"""

    occlusion: OcclusionImages | None = None
    """images with a semantic factor hidden; without them, no Figure 8 and Table 15 of this dataset"""

    reordered: Reordered | None = None
    """training sets of Table 13 and Figure 7, with this dataset's training counts"""

    group_counts: ConfigPath | None = None
    """CSV with a column `count` a class, under `root`, that makes the D-groups in place of the
    training counts; default for CIFAR-100: those of ratio 100, as LIFT"""

    tuning: dict[str, Any] = {}
    """keys of `tuning` that differ for this dataset, e.g. {epochs: 20}"""

    @property
    def image_base(self) -> Path:
        """Folder that `images` of a split or list is under."""
        return self.images_root or self.root

    @property
    def splits(self) -> dict[Split, ImageListFiles]:
        """The splits that there are, in the order train, val, test."""
        found: dict[Split, ImageListFiles | None] = {
            "train": self.train,
            "val": self.val,
            "test": self.test,
        }
        return {split: files for split, files in found.items() if files is not None}

    @property
    def lists(self) -> dict[str, Path]:
        """The splits and all other lists that are made, and the file of each."""
        made = self.make_lists.lists if self.make_lists is not None else []
        own = {split: self.root / files.list for split, files in self.splits.items()}
        return {name: self.root / f"{name}.txt" for name in made} | own


class CorpusEntry(Section):
    """Images with captions that a foundation model is pre-trained on here."""

    root: ConfigPath = Path()
    """folder of the files below; default: the current one. Not given if the world draws the corpus, or
    it is sampled"""

    list: ConfigPath = Path("list.txt")
    """text file with one `relative/path.jpg label` a line, under `root`"""

    images: ConfigPath = Path("images.zip")
    """folder or zip archive that the paths of the list are relative to, under `images_root`"""

    images_root: ConfigPath | None = None
    """folder that images are under; default: `root`, or that of the dataset it is sampled from"""

    class_names: ConfigPath = Path("classnames.txt")
    """one class name a line; the line number, from 0, is the label"""

    sample: CorpusSample | None = None
    """sample this corpus from a list of a dataset; without it, list and names must exist"""

    caption: str = Field(default="a photo of a {}.", pattern=r"^[^{}]*\{\}[^{}]*$")
    """caption of an image; {} stands for its class name"""

    @property
    def image_base(self) -> Path:
        """Folder that `images` of a split or list is under."""
        return self.images_root or self.root
