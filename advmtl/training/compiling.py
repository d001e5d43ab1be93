"""torch.compile for the networks of a run, part by part, each tried before it is used."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch._functorch.config as functorch_config
from rich.console import Console
from torch import Tensor, nn

from advmtl.networks import PatchDiscriminator, input_channels
from advmtl.terms import DiscriminatorTerm
from advmtl.training.state import State
from preprocessing.ground import first_line, progress


@dataclass(frozen=True)
class _Part:
    name: str
    module: nn.Module
    inputs: Callable[[], list[Tensor]]  # each is one way in which training calls it


def compile_networks(state: State, console: Console, backend: str = "inductor") -> list[str]:
    """Compile the forwards and backwards of encoder, shared generator, heads and discriminators.

    Modules keep their class, their keys in the checkpoint and their copies: only calls change. Each part is tried on
    noise of the training batch's size, which is where compiling takes its time; one that fails stays as it is, and
    `console` says why in one line. The gradient penalty (`PatchDiscriminator.slope`) and the averaged generator, which
    validation uses, are not compiled.

    Returns: names of what was compiled.
    """
    # A balancer backpropagates through a head once per objective, so the backward must not donate its buffers.
    functorch_config.donated_buffer = False
    compiled: list[str] = []
    parts = list(_parts(state))
    with progress("compile", len(parts), "parts") as bar:
        for part in parts:
            fault = _fault(part, state, backend)
            if fault is None:
                compiled.append(part.name)
            else:
                console.print(f"not compiled: {part.name} ({fault})", markup=False, highlight=False)
            bar.advance(1, part.name)
    return compiled


def _parts(state: State) -> Iterator[_Part]:
    data, generator = state.config.data, state.generator
    width, height = data.crop or data.size

    def noise(frames: int, channels: int, scale: int = 1) -> Tensor:
        shape = (frames, channels, -(-height // scale), -(-width // scale))
        return torch.zeros(shape, device=state.device).contiguous(memory_format=torch.channels_last)

    def image() -> Tensor:
        return noise(data.batch_size, 3)

    def maps() -> list[Tensor]:
        with torch.no_grad():
            found = list(generator.encoder(image()))
        return [one.requires_grad_() for one in found]

    def z() -> Tensor:
        with torch.no_grad():
            return generator.shared_representation(image()).float().requires_grad_()

    yield _Part("encoder", generator.get_submodule("encoder"), lambda: [image()])
    yield _Part("shared generator", generator.shared, lambda: [maps()])  # type: ignore[list-item]
    for name, head in generator.heads.items():
        yield _Part(f"{name} head", head, lambda: [z()])
    for term in state.terms.values():
        if not isinstance(term, DiscriminatorTerm):
            continue
        channels = input_channels(term.settings.sees, generator.spec, generator.tasks)
        shown = term.settings.scale
        yield _Part(
            f"discriminator {term.name}",
            term.network,
            lambda channels=channels, shown=shown: [  # type: ignore[misc]
                noise(2 * data.batch_size, channels, shown),
                noise(data.batch_size, channels, shown).requires_grad_(),
            ],
        )


def _fault(part: _Part, state: State, backend: str) -> str | None:
    """Compile a part and run it; None, or the reason for which it runs uncompiled."""
    networks = (state.generator, state.terms)
    kept = [copy.deepcopy(network.state_dict()) for network in networks]
    try:
        inputs = part.inputs()
        part.module.compile(backend=backend)
        for value in inputs:
            _run(part.module, value, state)
    except Exception as error:  # a failing compiler must not end the run
        part.module.compile(disable=True)
        return first_line(error)
    finally:
        # Forwards move batch-norm statistics and spectral norms; they are restored afterwards.
        for network, values in zip(networks, kept, strict=True):
            network.load_state_dict(values)
        part.module.requires_grad_(True).zero_grad(set_to_none=True)
    return None


def _run(module: nn.Module, value: Tensor, state: State) -> None:
    """One forward and backward as a step makes them; a discriminator that judges for the generator is frozen."""
    frozen = isinstance(value, Tensor) and value.requires_grad and isinstance(module, PatchDiscriminator)
    module.train().requires_grad_(not frozen)
    with state.precision.autocast():
        outputs = module(value)
    parts = outputs if isinstance(outputs, list | tuple) else [outputs]
    torch.stack([one.float().sum() for one in parts]).sum().backward()
