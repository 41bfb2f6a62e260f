"""The state of a training as one safetensors file, from which it goes on to the same bits.

The file holds named tensors and, in its header, a JSON text: the loop's own numbers, the key of the
training, and a SHA-256 over all of it. It appears whole or not at all.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dualtail.files import atomic_path
from dualtail.training.sgd import Sgd

HEADER_KEY = "dualtail_training_state"
SCHEMA_VERSION = 1


class StateProblem(Exception):
    """Why a state cannot be used; the message is part of a sentence."""


@dataclass(frozen=True)
class TrainingState:
    """Where a training is.

    Attributes:
        tensors: Everything that is not JSON, on the CPU once read.
        values: Everything else, as JSON can say it; floats come back as they were.
    """

    tensors: dict[str, Tensor]
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    """What every step of a training changes, besides the loop's own numbers.

    Frozen parameters are left out, buffers (batch norm) are not. torch's global generators are part
    of it, for methods of a user's own that draw from them; everything here has its own.

    Attributes:
        modules: Prefix of the tensors' names -> module.
        optimizer: All its parameters are float32 and of `modules`.
        scaler: Of float16, if there is one.
        schedule: That changes the learning rate, if the loop does not set it.
    """

    modules: Mapping[str, nn.Module]
    optimizer: torch.optim.Optimizer | Sgd
    scaler: torch.amp.GradScaler | None = None
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None

    def capture(self) -> TrainingState:
        """The state as it is now; tensors may be those in use: write it before the next step."""
        tensors = {f"module.{name}": tensor for name, tensor in self._module_tensors().items()}
        values: dict[str, Any] = {
            "lr": [group["lr"] for group in self.optimizer.param_groups],
            "scaler": self.scaler.state_dict() if self.scaler is not None else {},
            "schedule": self.schedule.state_dict() if self.schedule is not None else {},
        }
        for k, parameter in enumerate(self._parameters()):
            for name, value in self.optimizer.state.get(parameter, {}).items():
                if value is not None:
                    tensors[f"optimizer.{k}.{name}"] = value
        for name, value in _global_generators().items():
            tensors[f"generator.{name}"] = value
        return TrainingState(tensors, values)

    def restore(self, state: TrainingState) -> None:
        """Put a captured state back.

        Raises:
            StateProblem: it does not fit; nothing was changed.
        """
        found = {
            name.removeprefix("module."): tensor
            for name, tensor in state.tensors.items()
            if name.startswith("module.")
        }
        wanted = self._module_tensors()
        parameters = self._parameters()
        slots = [name.split(".") for name in state.tensors if name.startswith("optimizer.")]
        fits = (
            found.keys() == wanted.keys()
            and all(_alike(found[name], tensor) for name, tensor in wanted.items())
            and all(len(slot) == 3 and int(slot[1]) < len(parameters) for slot in slots)
            and len(state.values["lr"]) == len(self.optimizer.param_groups)
        )
        if not fits:
            raise StateProblem("its tensors are not those of this training")
        with torch.no_grad():
            for name, tensor in wanted.items():
                tensor.copy_(found[name])
        for _, number, name in slots:
            parameter = parameters[int(number)]
            value = state.tensors[f"optimizer.{number}.{name}"]
            if value.shape == parameter.shape:
                # In the parameter's layout: fused optimizers go through the memory as it is.
                value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
            self.optimizer.state[parameter][name] = value
        for group, lr in zip(self.optimizer.param_groups, state.values["lr"], strict=True):
            group["lr"] = lr
        if self.scaler is not None and self.scaler.is_enabled():
            self.scaler.load_state_dict(state.values["scaler"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state.values["schedule"])
        _restore_global_generators(state.tensors)

    def not_finite(self) -> str | None:
        """The name of a trained parameter that holds a NaN or an infinity, if one does."""
        for prefix, module in self.modules.items():
            for name, parameter in module.named_parameters():
                if parameter.requires_grad and not torch.isfinite(parameter).all():
                    return f"{prefix}.{name}"
        return None

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def _module_tensors(self) -> dict[str, Tensor]:
        """Trained parameters and buffers by name, not copied."""
        return {
            f"{prefix}.{name}": tensor.detach()
            for prefix, module in self.modules.items()
            for name, tensor in module.state_dict(keep_vars=True).items()
            if tensor.requires_grad or not isinstance(tensor, nn.Parameter)
        }


def write_state(path: Path, key: Mapping[str, str], state: TrainingState) -> None:
    """Write a state; equal states give equal bytes.

    Args:
        path: The file.
        key: What decides the result of the training, name -> value or hash.
        state: What is written.

    Raises:
        UserError: the file cannot be written.
    """
    from safetensors.torch import save_file

    tensors = {name: t.detach().cpu().contiguous() for name, t in sorted(state.tensors.items())}
    # Not sorted: columns of a history stand in the order in which its rows name them.
    text = json.dumps({"schema_version": SCHEMA_VERSION, "key": dict(key), "values": state.values})
    # One entry: safetensors writes several in no fixed order.
    metadata = {HEADER_KEY: f"{_digest(text, tensors)} {text}"}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def read_state(path: Path, key: Mapping[str, str]) -> TrainingState:
    """Read a state that belongs to this training.

    Raises:
        StateProblem: no whole state, or that of a training that differs in something.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            # A copy: the file is replaced while the training goes on.
            tensors = {name: file.get_tensor(name).clone() for name in sorted(file.keys())}
        digest, _, text = metadata[HEADER_KEY].partition(" ")
        if _digest(text, tensors) != digest:
            raise StateProblem("its content does not have the hash that it names")
        header = json.loads(text)
        version, found = header["schema_version"], header["key"]
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise StateProblem(f"it is not a whole state ({error})") from error
    if version != SCHEMA_VERSION:
        raise StateProblem(f"it is of schema {version}, not {SCHEMA_VERSION}")
    differing = sorted(
        name for name in found.keys() | key.keys() if found.get(name) != key.get(name)
    )
    if differing:
        raise StateProblem(f"it was made with another {', '.join(differing)}")
    return TrainingState(tensors, header["values"])


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name, tensor in tensors.items():
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _alike(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype


def _global_generators() -> dict[str, Tensor]:
    found = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        found["cuda"] = torch.cuda.get_rng_state()
    return found


def _restore_global_generators(tensors: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(tensors["generator.cpu"])
    if torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["generator.cuda"])
