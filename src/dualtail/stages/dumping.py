"""What the stages that run models share: the device, and writing one dump."""

from pathlib import Path

import numpy as np
import torch

from dualtail.datasets.pack import Pack
from dualtail.datasets.packed_images import evaluation_images
from dualtail.datasets.whole_pack import WholePack
from dualtail.foundation.settings import Transform
from dualtail.outputs import Outputs, OutputsHeader, write_outputs
from dualtail.tuning.inference import predict
from dualtail.tuning.views import Views


def best_device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def write_dump(
    out: Path,
    model: torch.nn.Module,
    pack: Pack | WholePack,
    header: OutputsHeader,
    transform: Transform,
) -> None:
    """Run a model over a packed split and write its outputs."""
    side = transform.crop
    predictions = predict(
        model,
        evaluation_images(pack, transform.resize),
        views=Views(transform.views, (side, side), transform.random_views),
        mean=transform.mean,
        std=transform.std,
        label=f"{header.members_key} on {header.dataset}/{header.split}",
    )
    outputs = Outputs(
        header=header,
        logits=predictions.logits,
        labels=pack.labels,
        image_index=np.arange(len(pack), dtype=np.int64),
        features=predictions.features,
        source=str(out),
    )
    write_outputs(out, outputs)
