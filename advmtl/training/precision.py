"""Mixed precision: forwards in half precision where asked for, losses and balancing in float32.

Under bf16 and fp16 the generator's and the discriminators' forwards run under autocast. Weights, losses, the gradient
penalty, the balancer's numbers, the average of the weights and validation stay float32.

Gradients in float16 underflow, so each optimizer's loss is multiplied by a scale first and its gradients are divided by
it (Micikevicius et al. 2018, section 3.2). Every optimizer has a scale of its own: a discriminator that
overflows halts no other. A step whose gradients overflow is not taken, halves the scale and is counted.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.amp.autocast_mode import is_autocast_available
from torch.amp.grad_scaler import GradScaler

from preprocessing.ground import InputError

PrecisionName = Literal["fp32", "bf16", "fp16"]
DTYPES: Mapping[PrecisionName, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
# A gradient that overflows under this scale overflows by itself; the scale starts at 65536 and halves.
SMALLEST_SCALE = 2.0**-14


class Precision:
    """The forwards' type, and under fp16 one loss scale per optimizer.

    Attributes:
        dtype: of the forwards, None = float32.
        skipped: optimizer steps that were not taken, int64 0-d on the device.
    """

    def __init__(self, name: PrecisionName, device: torch.device, optimizers: Mapping[str, torch.optim.Optimizer]):
        """`optimizers` by name. Raises: InputError where the device cannot compute so."""
        check_precision(name, device)
        self.device, self.dtype = device, DTYPES[name]
        self.skipped = torch.zeros((), dtype=torch.int64, device=device)
        self._optimizers = dict(optimizers)
        self._scalers = {key: GradScaler(device.type) for key in optimizers} if name == "fp16" else {}

    @property
    def scaled(self) -> bool:
        """Whether losses are scaled."""
        return bool(self._scalers)

    def autocast(self) -> torch.autocast:
        """The context of a forward."""
        enabled = self.dtype is not None
        return torch.autocast(self.device.type, dtype=self.dtype or torch.bfloat16, enabled=enabled)

    def scale(self, name: str) -> Tensor | None:
        """What the losses of an optimizer are multiplied by, 0-d on the device, or None. No sync."""
        return self._scalers[name].scale(torch.ones((), device=self.device)) if self._scalers else None

    def backward(self, name: str, loss: Tensor) -> None:
        """Scaled gradients of an optimizer's loss into `.grad`."""
        (self._scalers[name].scale(loss) if self._scalers else loss).backward()

    def unscale(self, name: str) -> None:
        """True gradients in `.grad`; infinite ones are remembered by `step`."""
        if self._scalers:
            self._scalers[name].unscale_(self._optimizers[name])

    def overflow(self, name: str) -> None:
        """Stand-in for gradients that cannot be made, since what they are made from has overflowed."""
        groups = self._optimizers[name].param_groups
        for parameter in [parameter for group in groups for parameter in group["params"]]:
            parameter.grad = torch.full_like(parameter, float("inf"))

    def step(self, name: str) -> None:
        """Let an optimizer take its step, unless a gradient is infinite under a loss scale."""
        optimizer = self._optimizers[name]
        if not self._scalers:
            optimizer.step()
            return
        scaler, before = self._scalers[name], self.scale(name)
        scaler.step(optimizer)  # host sync unless the optimizer is a fused one
        scaler.update()
        self.skipped += self.scale(name) < before  # type: ignore[operator]

    def logs(self) -> dict[str, Tensor]:
        """The smallest loss scale and how many steps were not taken, under fp16."""
        if not self._scalers:
            return {}
        scales = [self.scale(name) for name in self._scalers]
        return {
            "precision/loss_scale": torch.stack([scale for scale in scales if scale is not None]).amin(),
            "precision/skipped_steps": self.skipped.clone(),
        }

    def state_dict(self) -> dict[str, Any]:
        """Plain values and a tensor; empty unless there are loss scales."""
        if not self._scalers:
            return {}
        return {
            "skipped": self.skipped.cpu(),
            "scalers": {name: scaler.state_dict() for name, scaler in self._scalers.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` holds."""
        if self._scalers:
            self.skipped = state["skipped"].to(self.device)
            for name, scaler in self._scalers.items():
                scaler.load_state_dict(state["scalers"][name])


def check_precision(name: PrecisionName, device: torch.device, key: str = "train.precision") -> None:
    """Raises: InputError naming `key` where the device cannot compute so."""
    if name == "fp32":
        return
    if not is_autocast_available(device.type):
        raise InputError(f"{key}: {name} is not possible on {device.type}; set {key}=fp32")
    if name == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise InputError(f"{key}: bf16 needs a GPU of compute capability 8.0 or more; use fp16 or fp32")
    if name == "fp16" and device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_fp16_supported():
        raise InputError(f"{key}: this CPU has no float16 arithmetic; use bf16 or fp32")
