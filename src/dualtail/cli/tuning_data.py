"""Options that say which images a model is tuned on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dualtail.cli.flags import as_one
from dualtail.cli.shared_options import ANY, FILE

if TYPE_CHECKING:
    from dualtail.foundation.spec import FoundationSpec
    from dualtail.tuning.settings import TuningSettings


@dataclass(frozen=True)
class TuningData:
    """Images, perhaps in splits, or packs of them."""

    images: Path | None
    lists: Mapping[str, Path]
    class_names: Path | None
    test_share: float
    train_pack: Path | None
    predict_packs: Sequence[Path]

    def packed(
        self,
        spec: "FoundationSpec",
        settings: "TuningSettings",
        dataset: str | None,
        folder: Path,
        seed: int,
        threads: int | None,
    ) -> tuple[str, Path, Sequence[Path]]:
        """The dataset and the packs of a tuning, train and predicted; those of images go to `folder`."""
        if self.images is None:
            from dualtail.datasets.pack_file import open_pack

            assert self.train_pack is not None
            dataset = dataset or open_pack(self.train_pack).header.dataset
            return dataset, self.train_pack, self.predict_packs
        from dualtail.stages.tune_images import find_splits, make_packs

        dataset = dataset or self.images.resolve().stem
        splits = find_splits(self.images, self.lists, self.class_names, self.test_share, seed)
        whole = settings.augmentation.crop_scale is not None
        packs = make_packs(splits, dataset, spec.transform.resize, whole, folder, threads or 2)
        return dataset, packs.pop("train"), tuple(packs.values())


def _tuning_data(
    images: Path | None,
    train_list: Path | None,
    val_list: Path | None,
    test_list: Path | None,
    class_names: Path | None,
    test_share: float,
    train_pack: Path | None,
    predict_packs: tuple[Path, ...],
) -> TuningData:
    given = {"train": train_list, "val": val_list, "test": test_list}
    lists = {split: file for split, file in given.items() if file is not None}
    if (images is None) == (train_pack is None):
        raise click.UsageError("give either --images (and perhaps lists), or --train-pack")
    if train_pack is not None and (lists or class_names):
        raise click.UsageError("lists and --class-names go with --images, not with --train-pack")
    if images is not None and predict_packs:
        raise click.UsageError("--predict-pack goes with --train-pack, not with --images")
    return TuningData(images, lists, class_names, test_share, train_pack, predict_packs)


tuning_data = as_one(
    "data",
    _tuning_data,
    click.option(
        "--images",
        type=ANY,
        help="Folder with one folder per class (or with train, test and val folders of that kind); "
        "with --train-list, the folder or zip archive that its paths are under.",
    ),
    click.option("--train-list", type=FILE, help="`relative/path.jpg label` lines."),
    click.option("--val-list", type=FILE, help="The same; predicted as well."),
    click.option("--test-list", type=FILE, help="The same; without it, a part of --train-list."),
    click.option("--class-names", type=FILE, help="One name per line, in label order."),
    click.option(
        "--test-share",
        default=0.2,
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        help="Share of every class that is tested, where the images are not split.",
    ),
    click.option(
        "--train-pack", type=FILE, help="Instead of --images: a packed split (`dualtail pack`)."
    ),
    click.option(
        "--predict-pack",
        "predict_packs",
        multiple=True,
        type=FILE,
        help="With --train-pack: a packed split that the tuned model predicts.",
    ),
)
"""Give a verb the argument `data`: a `TuningData`."""
