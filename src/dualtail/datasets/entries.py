"""Datasets and corpora as a config names them. Stages do not import these: a new key re-runs nothing."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, field_validator

from dualtail.config.names import Name, fit_into_paths
from dualtail.config.paths import ConfigPath
from dualtail.config.section import Label, Section
from dualtail.datasets.settings import (
    ListSource,
    LongTailSample,
    NamesFormat,
    NamesVersion,
    Split,
)


class CorpusSample(LongTailSample):
    """A corpus drawn from an image list of a dataset."""

    dataset: Name
    """entry of `datasets` whose images it is drawn from"""

    list: Name = "train"
    """train, or another list that `make_lists` of that dataset writes"""


class ImageListFiles(Section):
    """One split: which images, and where they are."""

    list: ConfigPath
    """text file with one `relative/path.jpg label` per line, under `root`; may be gzip'ed (.txt.gz);
    default: <split>.txt"""

    images: ConfigPath = Path()
    """folder or zip archive that the paths of the list are relative to, under `images_root`"""


class OcclusionImages(Section):
    """The same images with nothing and with one semantic factor hidden (Fig. 8, Table 15)."""

    table: ConfigPath = Path("occlusion.csv")
    """CSV under `root`, one line per image: `label`, and a column path_<condition> for every condition;
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

    label: Label
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
    """lines: one name per line in label order; folders: `folder class name` per line (OLTR, LIFT);
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
    """balanced split: prior, temperature, kNN bank; null: there is no validation split, and
    prior_split must be test or train (derived where `make_lists` makes none)"""

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
    """CSV with a column `count` (one line per class), under `root`, that makes the D-groups in place of the
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
    """text file with one `relative/path.jpg label` per line, under `root`"""

    images: ConfigPath = Path("images.zip")
    """folder or zip archive that the paths of the list are relative to, under `images_root`"""

    images_root: ConfigPath | None = None
    """folder that images are under; default: `root`, or that of the dataset it is sampled from"""

    class_names: ConfigPath = Path("classnames.txt")
    """one class name per line; the line number, from 0, is the label"""

    sample: CorpusSample | None = None
    """sample this corpus from a list of a dataset; without it, list and names must exist"""

    caption: str = Field(default="a photo of a {}.", pattern=r"^[^{}]*\{\}[^{}]*$")
    """caption of an image; {} stands for its class name"""

    @property
    def image_base(self) -> Path:
        """Folder that `images` of a split or list is under."""
        return self.images_root or self.root
