"""The state of a training after a whole epoch, as one file from which it goes on to the same bits."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dualtail.files import atomic_path
from dualtail.tensor_hash import tensors_hash
from dualtail.training.sgd import Sgd

Rows = list[dict[str, Any]]
"""The history of a training: a row per epoch."""


class StateProblem(Exception):
    """Why a state cannot be used; the message is part of a sentence."""


@dataclass(frozen=True)
class Trained:
    """All that training changes: trained parameters, buffers (batch norm), optimizer, scaler and generators.

    Attributes:
        modules: Prefix of the tensors' names -> module.
        optimizer: All its parameters are float32 and of `modules`.
        generators: `order` shuffles the images; others are the loop's.
        scaler: Of float16, if there is one.
    """

    modules: Mapping[str, nn.Module]
    optimizer: torch.optim.Optimizer | Sgd
    generators: Mapping[str, torch.Generator]
    scaler: torch.amp.GradScaler | None = None

    def capture(self) -> dict[str, Tensor]:
        """All of it by name, not copied."""
        tensors = {f"module.{name}": tensor for name, tensor in self._module_tensors().items()}
        for k, parameter in enumerate(self._optimized()):
            for name, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{k}.{name}"] = value
        for name, generator in self._all_generators().items():
            tensors[f"generator.{name}"] = generator.get_state()
        if self.scaler is not None:
            for name, value in self.scaler.state_dict().items():
                tensors[f"scaler.{name}"] = torch.tensor(value)
        return tensors

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what was captured."""
        for name, tensor in self._module_tensors().items():
            tensor.copy_(tensors[f"module.{name}"])
        for name, generator in self._all_generators().items():
            generator.set_state(tensors[f"generator.{name}"])
        parameters, scaler = self._optimized(), {}
        for name, value in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "optimizer":
                number, _, slot = rest.partition(".")
                parameter = parameters[int(number)]
                if value.shape == parameter.shape:
                    # In the parameter's layout: fused optimizers go through the memory as it is.
                    value = torch.empty_like(parameter).copy_(value)
                self.optimizer.state[parameter][slot] = value
            elif kind == "scaler":
                scaler[rest] = value.item()
        if self.scaler is not None and scaler:
            self.scaler.load_state_dict(scaler)

    def not_finite(self) -> str | None:
        """The name of a trained parameter that holds a NaN or an infinity, if one does."""
        for name, tensor in self._module_tensors().items():
            if isinstance(tensor, nn.Parameter) and not torch.isfinite(tensor).all():
                return name
        return None

    def _optimized(self) -> list[Tensor]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def _module_tensors(self) -> dict[str, Tensor]:
        return {
            f"{prefix}.{name}": tensor
            for prefix, module in self.modules.items()
            for name, tensor in module.state_dict(keep_vars=True).items()
            if tensor.requires_grad or not isinstance(tensor, nn.Parameter)
        }

    def _all_generators(self) -> dict[str, torch.Generator]:
        """Torch's own too, for methods of a user's own that draw from them."""
        found = {**self.generators, "torch": torch.default_generator}
        if torch.cuda.is_available():
            found["cuda"] = torch.cuda.default_generators[torch.cuda.current_device()]
        return found


@dataclass(frozen=True)
class StateFile:
    """Where the state of a training is between two epochs.

    Attributes:
        path: The file; it appears whole or not at all.
        key: What decides the result, name -> value or hash; a state with another key is not used.
    """

    path: Path
    key: Mapping[str, str]

    def write(self, tensors: Mapping[str, Tensor], history: Rows) -> None:
        """Replace the file.

        Raises:
            UserError: it cannot be written.
        """
        from safetensors.torch import save_file

        found = {name: t.detach().cpu().contiguous() for name, t in sorted(tensors.items())}
        text = json.dumps({"key": dict(self.key), "history": history})
        with atomic_path(self.path) as temporary:
            save_file(found, temporary, {"text": text, "sha256": tensors_hash(text, found)})

    def read(self) -> tuple[dict[str, Tensor], Rows]:
        """The tensors, on the CPU, and the history.

        Raises:
            StateProblem: no whole state, or that of a training that differs in something.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, framework="pt", device="cpu") as file:
                metadata = file.metadata() or {}
                # A copy, not the file mapped into memory: optimizers write to it.
                tensors = {name: file.get_tensor(name).clone() for name in sorted(file.keys())}
            if tensors_hash(metadata["text"], tensors) != metadata["sha256"]:
                raise ValueError("its content does not match its hash")
            about = json.loads(metadata["text"])
            found, history = about["key"], about["history"]
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise StateProblem(f"it is not a whole state ({error})") from error
        names = sorted(found.keys() | self.key.keys())
        differing = [name for name in names if found.get(name) != self.key.get(name)]
        if differing:
            raise StateProblem(f"it was made with another {', '.join(differing)}")
        return tensors, history

    def remove(self) -> None:
        """Remove it, and what a killed process left beside it."""
        self.path.unlink(missing_ok=True)
        shutil.rmtree(self.path.with_name(f".{self.path.name}.unfinished"), ignore_errors=True)
