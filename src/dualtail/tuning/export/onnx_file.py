"""A plain model as ONNX: input `images` (B, 3, H, W), output `logits` (B, C), B free."""

import importlib.util
from pathlib import Path

import torch
from torch import nn

from dualtail.errors import UserError
from dualtail.files import atomic_path
from dualtail.tuning.export.plain import PlainModel

NEEDED = ("onnx", "onnxscript", "onnxruntime")


def check_installed() -> None:
    """Make sure that ONNX files can be written and run, before anything is written.

    Raises:
        UserError: a package is not installed.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"--onnx: {', '.join(missing)} not installed; install what it needs: "
            "`uv sync --extra onnx` in a checkout, else pip install 'dualtail[onnx]'"
        )


class _Logits(nn.Module):
    """Without the features."""

    def __init__(self, model: PlainModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model(images)[0]


def write_onnx(path: Path, model: PlainModel, image_size: tuple[int, int]) -> None:
    """Write one file, atomically; `check_installed` says beforehand whether it can be."""
    images = torch.zeros(2, 3, *image_size)
    program = torch.onnx.export(
        _Logits(model).eval(),
        (images,),
        dynamo=True,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
        verbose=False,
    )
    assert program is not None
    with atomic_path(path) as temporary:
        program.save(temporary, external_data=False)


def onnx_logits(path: Path, images: torch.Tensor) -> torch.Tensor:
    """Run the file on normalized images (B, 3, H, W) -> (B, C), on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"images": images.numpy()})
    return torch.from_numpy(logits)
