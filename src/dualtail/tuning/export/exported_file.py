"""An exported model on disk: `model.safetensors` and `model.json`, all that one needs to use it.

The JSON says how the tensors are put together (docs/tuning.md has the lines of plain torch), what an image
must look like, the classes in the order of the logits, and where the model comes from.
"""

import json
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from dualtail import __version__
from dualtail.errors import UserError
from dualtail.files import atomic_path, sha256_file, write_text
from dualtail.foundation.activation import QuickGelu
from dualtail.foundation.settings import Transform
from dualtail.foundation.vision import LayerScale, TowerSizes, VisionTower
from dualtail.tuning.backbone import BackboneShape
from dualtail.tuning.export.plain import Features, Further, PlainModel, Tensors

TENSORS, ABOUT = "model.safetensors", "model.json"


class TowerArguments(BaseModel):
    """Arguments of `open_clip.transformer.VisionTransformer`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_size: tuple[int, int]
    patch_size: tuple[int, int]
    width: int
    layers: int
    heads: int
    mlp_ratio: float
    ls_init_value: float | None
    no_ln_pre: bool

    @classmethod
    def of(cls, visual: VisionTower) -> "TowerArguments":
        """Read them off a tower."""
        sizes = BackboneShape.of(visual).model_dump()
        ffn_width, width = sizes.pop("ffn_width"), sizes["width"]
        ratio = ffn_width / width
        if int(width * ratio) != ffn_width:  # rounded down to one less
            ratio = (ffn_width + 0.5) / width
        scale = visual.blocks[0].ls_2
        scaled = hasattr(scale, "gamma") or isinstance(scale, LayerScale)
        return cls(
            **sizes,
            mlp_ratio=ratio,
            ls_init_value=1.0 if scaled else None,
            no_ln_pre=isinstance(visual.ln_pre, torch.nn.Identity),
        )


def is_quick(visual: VisionTower) -> bool:
    """Whether the activation of a tower is QuickGELU."""
    return isinstance(visual.blocks[0].mlp.get_submodule("gelu"), QuickGelu)


class Exported(BaseModel):
    """What `model.json` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["dualtail exported model, version 1"] = "dualtail exported model, version 1"
    code_version: str = __version__
    tower: TowerArguments
    quick_gelu: bool
    further: Further
    features: Features
    transform: Transform
    class_names: list[str]
    n_classes: int
    tuned: dict[str, Any]
    tensors_sha256: str = ""

    @property
    def sizes(self) -> TowerSizes:
        """Of the tower, in our words."""
        tower = self.tower
        return TowerSizes(
            image_size=tower.image_size,
            patch_size=tower.patch_size,
            width=tower.width,
            layers=tower.layers,
            heads=tower.heads,
            ffn_width=int(tower.width * tower.mlp_ratio),
            embedding=1,  # there is no projection
            quick_gelu=self.quick_gelu,
            layer_scale=tower.ls_init_value is not None,
            pre_norm=not tower.no_ln_pre,
        )


def write_exported(folder: Path, tensors: Tensors, about: Exported) -> None:
    """Write both files, each atomically; equal models give equal bytes.

    Raises:
        UserError: a file cannot be written.
    """
    from safetensors.torch import save_file

    with atomic_path(folder / TENSORS) as temporary:
        save_file(dict(tensors), temporary)
    known = about.model_copy(update={"tensors_sha256": sha256_file(folder / TENSORS)})
    text = json.dumps(known.model_dump(mode="json"), indent=1, ensure_ascii=False)
    write_text(folder / ABOUT, text + "\n")


def read_about(folder: Path) -> Exported:
    """Read what an exported model is, without its tensors.

    Raises:
        UserError: no exported model there, or one of another version.
    """
    path = folder / ABOUT
    if not path.is_file():
        raise UserError(f"{folder}: no exported model: it has no {ABOUT} (`dualtail export`)")
    try:
        return Exported.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise UserError(
            f"{path}: not what `dualtail export` writes: {where}{first['msg']}; export it again"
        ) from error


def read_exported(folder: Path) -> tuple[PlainModel, Exported]:
    """Load an exported model, float32, on the CPU.

    Raises:
        UserError: see `read_about`; or tensors that are not those that were written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    about, path = read_about(folder), folder / TENSORS
    if not path.is_file():
        raise UserError(f"{path}: no such file; export the model again")
    if sha256_file(path) != about.tensors_sha256:
        raise UserError(f"{path}: not the tensors that {ABOUT} was written with; export it again")
    try:
        tensors = load_file(path)
        return PlainModel(about.sizes, tensors, about.further, about.features), about
    except (SafetensorError, RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: does not fit {ABOUT}: {reason}; export it again") from error
