"""SGD with momentum, the same to the bit as `torch.optim.SGD`.

The construction of any optimizer of torch imports its compiler: 1.6 seconds, longer than a small model is
tuned.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class Sgd:
    """g <- gradient + weight_decay * p; v <- momentum * v + g (at first g); p <- p - lr * v.

    Attributes:
        param_groups: One group; its `lr` may be changed between steps.
        state: Parameter -> {"momentum_buffer": v}, once it had a gradient.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        fused: bool,
    ) -> None:
        """Prepare; nothing is copied.

        Args:
            parameters: float32, on one device.
            lr: Learning rate of the next step.
            momentum, weight_decay: See above.
            fused: As `torch.optim.SGD(fused=True)`, faster, or as its default: they round differently.
        """
        self.param_groups: list[dict[str, Any]] = [{"params": list(parameters), "lr": lr}]
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self._momentum, self._weight_decay, self._fused = momentum, weight_decay, fused

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.param_groups[0]["params"]:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Change every parameter that has a gradient."""
        (group,) = self.param_groups
        moved = [p for p in group["params"] if p.grad is not None]
        if not self._fused:
            for parameter in moved:
                self._plain_step(parameter, group["lr"])
            return
        new = [p for p in moved if p not in self.state]
        self._fused_step([p for p in moved if p in self.state], group["lr"], first=False)
        for parameter in new:
            self.state[parameter]["momentum_buffer"] = torch.empty_like(parameter.grad)
        self._fused_step(new, group["lr"], first=True)

    def _plain_step(self, parameter: Tensor, lr: float) -> None:
        assert parameter.grad is not None
        update = parameter.grad
        if self._weight_decay:
            update = update.add(parameter, alpha=self._weight_decay)
        if self._momentum:
            velocity = self.state[parameter].get("momentum_buffer")
            if velocity is None:
                velocity = self.state[parameter]["momentum_buffer"] = update.clone()
            else:
                velocity.mul_(self._momentum).add_(update)
            update = velocity
        parameter.add_(update, alpha=-lr)

    def _fused_step(self, parameters: list[Tensor], lr: float, first: bool) -> None:
        if not parameters:
            return
        with_momentum = self._momentum != 0
        torch._fused_sgd_(  # type: ignore[attr-defined]
            parameters,
            [p.grad for p in parameters if p.grad is not None],
            [self.state[p]["momentum_buffer"] for p in parameters] if with_momentum else [],
            weight_decay=self._weight_decay,
            momentum=self._momentum,
            lr=lr,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            is_first_step=first and with_momentum,
        )
