"""Everything a training run is made of, built from a configuration, saved and restored as one."""

import copy
import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from advmtl.balancing.balancer import Balancer
from advmtl.balancing.build import build_balancer
from advmtl.balancing.rotation import RotatedHead
from advmtl.config import Config
from advmtl.networks.batch_norm import set_batch_norm
from advmtl.networks.discriminator import PatchDiscriminator, input_channels
from advmtl.networks.encoder import build_encoder
from advmtl.networks.generator import Generator, build_generator
from advmtl.networks.perceptual import Perceptual
from advmtl.networks.precision import Precision
from advmtl.tasks.table import OFFSET_SHARE, head_channels
from advmtl.terms.adversarial_objectives import OBJECTIVES
from advmtl.terms.build import build_methods
from advmtl.training.growth_state import Growing, restore, start_growing
from advmtl.training.guards import Guards
from advmtl.training.optimizers import adversarial_optimizers, generator_optimizer
from preprocessing.ground import LABEL_SETS, InputError


def generator_from(config: Config, *, pretrained: bool = True) -> Generator:
    """Build the generator a configuration describes; `pretrained=False` skips reading encoder weights."""
    settings = config.encoder
    encoder = build_encoder(settings.weights if pretrained else None, settings.bn_momentum, settings.width)
    channels = head_channels(list(config.tasks), len(LABEL_SETS[config.data.classes].names))
    generator = build_generator(
        encoder,
        channels,
        channels=config.generator.channels,
        crp_stages=config.generator.crp_stages,
        min_m=config.depth.min_m,
        max_m=config.depth.max_m,
        offset_unit_px=config.data.size[0] * OFFSET_SHARE,
    )
    if config.balance.method == "rotograd":  # its rotations are part of the network
        for name, head in generator.heads.items():
            generator.heads[name] = RotatedHead(head, config.generator.channels)
    return generator


def _discriminators_from(config: Config) -> nn.ModuleDict:
    classes = len(LABEL_SETS[config.data.classes].names)
    clash = next((name for name in config.discriminators if hasattr(nn.ModuleDict, name)), None)
    if clash is not None:
        raise InputError(f"discriminators.{clash}: the name is taken by torch; choose another")
    return nn.ModuleDict(
        {
            name: PatchDiscriminator(
                input_channels(critic.sees, classes),
                channels=critic.channels,
                layers=critic.layers,
                spectral=OBJECTIVES[critic.objective].spectral,
            )
            for name, critic in config.discriminators.items()
        }
    )


@dataclass
class State:
    """A training run between two steps, the same on each of its `processes`.

    `epoch` and `batch` say where in the data it stands; a batch is that of all processes together.
    """

    config: Config
    device: torch.device
    generator: Generator
    ema: Generator
    discriminators: nn.ModuleDict
    balancer: Balancer
    perceptual: Perceptual | None
    optimizer: torch.optim.Optimizer
    discriminator_optimizers: dict[str, torch.optim.Optimizer]
    noise: torch.Generator
    precision: Precision
    partial: nn.ModuleDict = field(default_factory=nn.ModuleDict)
    partial_optimizers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)
    growth: Growing | None = None
    epoch: int = 0
    batch: int = 0
    step: int = 0
    best: float = float("-inf")
    log_bytes: int = 0
    guards: Guards = field(default_factory=Guards)
    processes: int = 1
    palette: Tensor = field(default_factory=lambda: torch.zeros(0))

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values only, so that it loads with `weights_only=True`."""
        numpy_state: Any = np.random.get_state(legacy=False)
        return {
            "generator": self.generator.state_dict(),
            "ema": self.ema.state_dict(),
            "discriminators": self.discriminators.state_dict(),
            "balancer": self.balancer.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "discriminator_optimizers": {k: o.state_dict() for k, o in self.discriminator_optimizers.items()},
            "partial": self.partial.state_dict(),
            "partial_optimizers": {k: o.state_dict() for k, o in self.partial_optimizers.items()},
            "growth": {} if self.growth is None else self.growth.state_dict(self.generator),
            "noise": self.noise.get_state(),
            "precision": self.precision.state_dict(),
            "torch": torch.get_rng_state(),
            "python": random.getstate(),
            "numpy": (
                torch.from_numpy(numpy_state["state"]["key"].astype(np.int64)),
                *(numpy_state["state"]["pos"], numpy_state["has_gauss"], numpy_state["gauss"]),
            ),
            "guards": self.guards.state_dict(),
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "best": self.best,
            "log_bytes": self.log_bytes,
            "processes": self.processes,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore everything `state_dict` holds.

        Raises: InputError naming a key that is missing, not known, or does not fit this configuration.
        """
        # A run from before there were balancers is a plain sum, which has no state.
        # Nor were there guards, other precisions, several processes, methods of partial supervision, growth.
        since = {"balancer": {}, "guards": {}, "precision": {}, "partial": {}, "partial_optimizers": {}, "processes": 1}
        state = {**since, "growth": {}, **state}
        expected = self.state_dict().keys()
        for keys, what in ((expected - state.keys(), "is missing"), (state.keys() - expected, "is not known")):
            if keys:
                raise InputError(f"checkpoint: {min(keys)} {what}; it is of another version: start anew (--overwrite)")
        try:
            self._restore(state)
        except (RuntimeError, ValueError, TypeError, KeyError) as error:
            line = " ".join(str(error).split())
            raise InputError(f"checkpoint: does not fit this configuration ({line[:200]})") from None

    def _restore(self, state: dict[str, Any]) -> None:
        restore(self, state["growth"])
        for name in ("generator", "ema", "discriminators", "optimizer", "balancer", "guards", "partial"):
            getattr(self, name).load_state_dict(state[name])
        for group in ("discriminator_optimizers", "partial_optimizers"):
            own = getattr(self, group)
            if state[group].keys() != own.keys():
                raise KeyError(f"{group}: {', '.join(state[group])}")
            for name, optimizer in own.items():
                optimizer.load_state_dict(state[group][name])
        self.noise.set_state(state["noise"])
        self.precision.load_state_dict(state["precision"])
        torch.set_rng_state(state["torch"])
        random.setstate(state["python"])
        key, position, *gauss = state["numpy"]
        np.random.set_state(("MT19937", key.numpy().astype(np.uint32), position, *(gauss or (0, 0.0))))
        for name in ("epoch", "batch", "step", "best", "log_bytes", "processes"):
            setattr(self, name, state[name])

    @torch.no_grad()
    def update_ema(self) -> None:
        """Move the averaged generator towards the current one.

        The decay warms up as (1 + age) / (10 + age), so that neither a short run averages its random start nor a grown
        module its own. Batch-norm statistics are averaged like weights; counters are copied.
        """
        averaged, current = self.ema.state_dict(), self.generator.state_dict()
        ages: dict[int, list[str]] = {}
        born = self.growth.born if self.growth is not None else {}
        for name, value in averaged.items():
            if value.is_floating_point():
                ages.setdefault(self.step - born.get(name, 0), []).append(name)
            else:
                value.copy_(current[name])
        for age, names in ages.items():
            decay = min(self.config.train.ema_decay, (1 + age) / (10 + age))
            torch._foreach_lerp_([averaged[n] for n in names], [current[n] for n in names], 1 - decay)


def build(config: Config, device: torch.device, *, pretrained: bool = True) -> State:
    """Build a fresh run: networks, optimisers and random state from the configuration's seed.

    `pretrained=False` leaves the encoder's weights random, for a state that is about to be loaded.

    Raises: InputError where weights are missing or do not fit.
    """
    random.seed(config.seed)
    np.random.seed(config.seed % 2**32)
    torch.manual_seed(config.seed)
    # The networks come in channels_last already: on a CPU it is several times faster than the default layout.
    generator = generator_from(config, pretrained=pretrained).to(device)
    ema = copy.deepcopy(generator).eval().requires_grad_(False)
    set_batch_norm(generator, config.train.batch_norm, device)
    discriminators = _discriminators_from(config).to(device)
    balance = config.balance
    balancer = build_balancer(balance.method, balance.options, list(config.tasks), config.rows)
    wants_perceptual = any(task.losses.get("perceptual", 0) > 0 for task in config.tasks.values())
    perceptual = None
    if wants_perceptual:
        perceptual = Perceptual(config.perceptual.network, config.perceptual.weights, scale=config.perceptual.scale).to(
            device
        )
    optimizer = generator_optimizer(generator, balancer, config)
    critics = adversarial_optimizers(discriminators, config)
    methods = build_methods(config).to(device)
    partial_optimizers = adversarial_optimizers(methods, config)
    scaled = {
        "generator": optimizer,
        **{f"discriminator/{name}": critic for name, critic in critics.items()},
        **{f"partial/{name}": method for name, method in partial_optimizers.items()},
    }
    palette = torch.from_numpy(LABEL_SETS[config.data.classes].palette.astype(np.float32) / 255).to(device)
    return State(
        config=config,
        device=device,
        generator=generator,
        ema=ema,
        discriminators=discriminators,
        balancer=balancer,
        perceptual=perceptual,
        optimizer=optimizer,
        discriminator_optimizers=critics,
        noise=torch.Generator(device).manual_seed(config.seed + 1),
        precision=Precision(config.train.precision, device, scaled),
        partial=methods,
        partial_optimizers=partial_optimizers,
        growth=None if config.growth is None else start_growing(config.growth, list(config.tasks), device),
        palette=palette,
    )
