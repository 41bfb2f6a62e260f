"""Stage occlude: hide parts of images, for `datasets.NAME.occlusion`."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from dualtail.datasets.image_list import ImageList, leads_outside
from dualtail.datasets.images import ImageStore, open_image
from dualtail.errors import UserError
from dualtail.explain.conditions import write_conditions
from dualtail.explain.occlude import Region, box_mask, hide, read_parts
from dualtail.explain.splits import VISIBLE
from dualtail.files import atomic_path


def run(images: Path, parts_list: Path, out: Path) -> str:
    """Write every image whole and with each part hidden, and the table of them; return a snippet.

    `out` gets `<condition>/<path>.png` and, last, `occlusion.csv`.
    """
    parts = read_parts(parts_list)
    names: dict[str, list[str]] = {VISIBLE: [], **{c: [] for c in parts.conditions}}
    with ImageStore(images) as store:
        for path in tqdm(parts.labels, desc="hiding parts", unit="img", disable=None):
            if leads_outside(path):
                raise UserError(f"{parts_list}: {path}: must be a path inside {images}")
            pixels = np.asarray(_open(store, path, parts_list).convert("RGB"))
            for condition, written in names.items():
                shown = pixels
                if condition != VISIBLE:
                    hidden = np.zeros(pixels.shape[:2], dtype=bool)
                    for region in parts.parts[path][condition]:
                        hidden |= _hidden(region, pixels, store)
                    shown = hide(pixels, hidden)
                # The old suffix stays in the name: a.jpg and a.png are two images.
                written.append(f"{condition}/{path}.png")
                with atomic_path(out / written[-1]) as temporary:
                    Image.fromarray(shown).save(temporary)
    labels = np.array(list(parts.labels.values()), dtype=np.int64)
    lists = {condition: ImageList(parts_list, paths, labels) for condition, paths in names.items()}
    write_conditions(out / "occlusion.csv", lists)
    shown = ", ".join(f"{condition}: {condition.replace('_', ' ')}" for condition in names)
    return (
        f"occlusion: {{table: {(out / 'occlusion.csv').resolve()}, images: {out.resolve()}, "
        f"conditions: {{{shown}}}}}"
    )


def _hidden(region: Region, pixels: NDArray[np.uint8], store: ImageStore) -> NDArray[np.bool_]:
    height, width = pixels.shape[:2]
    if region.box is not None:
        return box_mask(region, height, width)
    mask = np.asarray(_open(store, region.mask, Path(region.where)).convert("L")) > 127
    if mask.shape != (height, width):
        raise UserError(
            f"{region.where}: the mask {region.mask} is {mask.shape[1]} x {mask.shape[0]} pixels, "
            f"the image {width} x {height}"
        )
    return mask


def _open(store: ImageStore, name: str, where: Path) -> Image.Image:
    if not store.has(name):
        raise UserError(f"{where}: {name} is not in {store.path}")
    try:
        image = open_image(store.read(name))
        image.load()
    except Exception as error:  # Pillow raises nearly every type there is at damaged files
        raise UserError(f"{where}: {name}: corrupt image ({error})") from error
    return image
