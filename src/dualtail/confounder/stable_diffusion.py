"""The two factors as Stable Diffusion draws them: a photograph of one part of an object."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualtail.confounder.sets import FactorClass
from dualtail.confounder.settings import StableDiffusionSettings
from dualtail.errors import UserError

EXTRA = "stable-diffusion"


def load_pipeline(settings: StableDiffusionSettings) -> Any:
    """Load a pipeline from its folder; nothing is downloaded and nothing is unpickled.

    There is no safety checker: it would replace images by black ones.

    Raises:
        UserError: the extra is not installed, or the folder holds no pipeline with safetensors weights.
    """
    try:
        import torch
        from diffusers import StableDiffusionPipeline  # pyright: ignore[reportPrivateImportUsage, reportMissingImports]
    except ImportError as error:
        raise UserError(
            f"confounder.stable_diffusion needs the extra {EXTRA!r} ({error}): "
            f"install dualtail[{EXTRA}] (with uv: uv sync --extra {EXTRA})"
        ) from error
    folder = settings.model
    if not (folder / "model_index.json").is_file():
        raise UserError(
            f"confounder.stable_diffusion.model: {folder} is not a folder of a diffusers pipeline "
            "(no model_index.json); save_pretrained(folder) writes one"
        )
    try:
        pipeline = StableDiffusionPipeline.from_pretrained(
            folder.as_posix(),
            local_files_only=True,
            use_safetensors=True,
            safety_checker=None,
            requires_safety_checker=False,
            dtype=getattr(torch, settings.precision),
            low_cpu_mem_usage=False,  # the other way needs accelerate
        )
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"confounder.stable_diffusion.model: {folder} cannot be loaded as a Stable Diffusion "
            f"pipeline with safetensors weights: {first}"
        ) from error
    return pipeline.to("cuda" if torch.cuda.is_available() else "cpu")


def image_seed(seed: int, split: str, label: int, factor: int, number: int) -> int:
    """Return the seed of one image's noise, below 2 ** 63."""
    text = f"{seed}/{split}/{label}/{factor}/{number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


class StableDiffusionImages:
    """Makes images from the prompt of a class and part.

    Every image has noise of its own seed, so that it does not depend on how many are made.
    """

    def __init__(self, settings: StableDiffusionSettings, seed: int) -> None:
        self._settings = settings
        self._seed = seed
        self._pipeline = load_pipeline(settings)
        self._pipeline.set_progress_bar_config(disable=True)
        self.classes = [FactorClass(name, parts) for name, parts in settings.classes.items()]

    def prompt(self, label: int, factor: int) -> str:
        """Return the text that images of a class and factor are made from."""
        entry = self.classes[label]
        return self._settings.prompt.format(**{"class": entry.name, "part": entry.parts[factor]})

    def images(self, split: str, label: int, factor: int, n: int) -> Iterator[NDArray[np.uint8]]:
        """Yield the first n images of a class and factor, in batches (B, S, S, 3).

        Raises:
            UserError: the pipeline made something that is not finite (float16 overflows in some).
        """
        import torch

        settings, prompt = self._settings, self.prompt(label, factor)
        for start in range(0, n, settings.batch_size):
            numbers = range(start, min(start + settings.batch_size, n))
            seeds = [image_seed(self._seed, split, label, factor, number) for number in numbers]
            made = self._pipeline(
                [prompt] * len(numbers),
                height=settings.size,
                width=settings.size,
                num_inference_steps=settings.steps,
                guidance_scale=settings.guidance,
                generator=[torch.Generator("cpu").manual_seed(s) for s in seeds],
                output_type="np",
            ).images
            made = np.asarray(made, dtype=np.float32)
            if not np.isfinite(made).all():
                raise UserError(
                    f"Stable Diffusion made an image that is not finite for {prompt!r}; set "
                    "confounder.stable_diffusion.precision to bfloat16 or float32"
                )
            yield np.clip(made * 255 + 0.5, 0, 255).astype(np.uint8)
