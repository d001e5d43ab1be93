"""The state of a training run: built from a configuration, saved and restored as one."""

import copy
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from advmtl.balancing import Balancer, build_balancer, check_balancer
from advmtl.config import Config, Detection
from advmtl.distributed import SINGLE, Processes
from advmtl.networks import Generator, check_batch_norm, set_batch_norm
from advmtl.terms import TERMS, Builder, StepContext, Term, build_terms
from advmtl.training.affinity import Affinity
from advmtl.training.allocator import keep_freed_memory
from advmtl.training.freezing import Freezing
from advmtl.training.growth import Growth
from advmtl.training.guards import Guards
from advmtl.training.initial import take_weights
from advmtl.training.model import Model
from advmtl.training.model import generator_from as generator_from
from advmtl.training.older_states import in_this_layout
from advmtl.training.optimizers import generator_optimizer, term_optimizers
from advmtl.training.precision import Precision
from advmtl.training.record import Record
from advmtl.training.selection import Selection
from preprocessing.ground import InputError


class Observer(Protocol):
    """Something that reads a step's objectives before their graph is freed, and does not change them."""

    def observe(self, step: StepContext, objectives: Mapping[str, Tensor]) -> None:
        """Read the objectives that a step is about to minimise."""


@dataclass
class State:
    """A training run between two steps, the same on each of its `processes`.

    `epoch` and `batch` say where in the data it stands; a batch is that of all processes together, of which there were
    `world_size` when the run was saved. Optimizers of terms bear their terms' names.
    """

    config: Config
    device: torch.device
    generator: Generator
    ema: Generator
    terms: nn.ModuleDict
    balancer: Balancer
    optimizer: torch.optim.Optimizer
    term_optimizers: dict[str, torch.optim.Optimizer]
    precision: Precision
    freezing: Freezing
    growth: Growth | None = None
    affinity: Affinity | None = None
    guards: Guards = field(default_factory=Guards)
    selection: Selection = field(default_factory=Selection)
    record: Record = field(default_factory=Record)
    processes: Processes = SINGLE
    world_size: int = 1
    threads: int = 0  # that it computes with on a CPU; 0: not known
    epoch: int = 0
    batch: int = 0
    step: int = 0
    log_bytes: int = 0
    unsaved: bool = False  # whether something was changed that no step has saved yet
    own: Mapping[str, str] = field(default_factory=dict)  # parts that the configuration does not name, by kind
    class_pixels: Tensor | None = None  # int32 [frames,K], of the training frames, where something is done by class

    @property
    def model(self) -> Model:
        """The averaged network, which is what is measured and deployed."""
        return Model(self.ema, self.config, self.record.lenses)

    @property
    def active_terms(self) -> dict[str, Term]:
        """The terms that have started, in their order."""
        terms = {name: cast(Term, term) for name, term in self.terms.items()}
        return {name: term for name, term in terms.items() if self.step >= term.start_step}

    @property
    def observers(self) -> list[Observer]:
        """What reads the objectives of every step before they are minimised."""
        return [one for one in (self.growth, self.affinity) if one is not None]

    def grow(self) -> Detection | None:
        """Grow where a detection is due after the last step; see `Growth.grow_where_due`."""
        return None if self.growth is None else self.growth.grow_where_due(self.step)

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values only, so that it loads with `weights_only=True`."""
        numpy_state: Any = np.random.get_state(legacy=False)
        return {
            "generator": self.generator.state_dict(),
            "ema": self.ema.state_dict(),
            "terms": self.terms.state_dict(),
            "balancer": self.balancer.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "term_optimizers": {k: o.state_dict() for k, o in self.term_optimizers.items()},
            "growth": {} if self.growth is None else self.growth.state_dict(),
            "precision": self.precision.state_dict(),
            "torch": torch.get_rng_state(),
            "python": random.getstate(),
            "numpy": (
                torch.from_numpy(numpy_state["state"]["key"].astype(np.int64)),
                *(numpy_state["state"]["pos"], numpy_state["has_gauss"], numpy_state["gauss"]),
            ),
            "guards": self.guards.state_dict(),
            "selection": self.selection.state_dict(),
            "record": self.record.state_dict(),
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "log_bytes": self.log_bytes,
            "processes": self.world_size,
            "threads": self.threads,
            **({"own": dict(self.own)} if self.own else {}),
            **({"class_pixels": self.class_pixels} if self.class_pixels is not None else {}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore everything `state_dict` holds, or an older version's.

        Raises: InputError naming a key that is missing, not known, or does not fit this configuration.
        """
        state = in_this_layout(state)
        own = state.pop("own", {})
        if own != dict(self.own):
            there, here = (", ".join(f"{k} {v}" for k, v in parts.items()) or "none" for parts in (own, self.own))
            raise InputError(f"checkpoint: parts of the caller's own are {there} there and {here} here; give the same")
        self.class_pixels = state.pop("class_pixels", None)
        expected = self.state_dict().keys() - {"own", "class_pixels"}
        for keys, what in ((expected - state.keys(), "is missing"), (state.keys() - expected, "is not known")):
            if keys:
                raise InputError(f"checkpoint: {min(keys)} {what}; it is of another version: start anew (--overwrite)")
        try:
            self._restore(state)
        except (RuntimeError, ValueError, TypeError, KeyError) as error:
            line = " ".join(str(error).split())
            raise InputError(f"checkpoint: does not fit this configuration ({line[:200]})") from None

    def _restore(self, state: dict[str, Any]) -> None:
        if self.growth is not None:
            self.growth.load_state_dict(state["growth"])
        elif state["growth"]:
            raise ValueError("growth is of another run")
        parts = ("generator", "ema", "terms", "optimizer", "balancer", "guards", "precision", "selection", "record")
        for name in parts:
            getattr(self, name).load_state_dict(state[name])
        if state["term_optimizers"].keys() != self.term_optimizers.keys():
            raise KeyError(f"term_optimizers: {', '.join(state['term_optimizers'])}")
        for name, optimizer in self.term_optimizers.items():
            optimizer.load_state_dict(state["term_optimizers"][name])
        torch.set_rng_state(state["torch"])
        random.setstate(state["python"])
        key, position, *gauss = state["numpy"]
        np.random.set_state(("MT19937", key.numpy().astype(np.uint32), position, *(gauss or (0, 0.0))))
        for name in ("epoch", "batch", "step", "log_bytes"):
            setattr(self, name, state[name])
        self.world_size, self.threads = state["processes"], state["threads"]

    @torch.no_grad()
    def update_ema(self) -> None:
        """Move the averaged generator towards the current one.

        The decay warms up as (1 + age) / (10 + age), so that neither a short run averages its random start nor a grown
        module its own. Batch-norm statistics are averaged like weights; counters are copied.
        """
        averaged, current = self.ema.state_dict(), self.generator.state_dict()
        ages: dict[int, list[str]] = {}
        added = self.growth.added_at_step if self.growth is not None else {}
        for name, value in averaged.items():
            if value.is_floating_point():
                ages.setdefault(self.step - added.get(name, 0), []).append(name)
            else:
                value.copy_(current[name])
        for age, names in ages.items():
            decay = min(self.config.train.ema_decay, (1 + age) / (10 + age))
            torch._foreach_lerp_([averaged[n] for n in names], [current[n] for n in names], 1 - decay)


def build(
    config: Config,
    device: torch.device,
    *,
    pretrained: bool = True,
    processes: Processes = SINGLE,
    terms: Mapping[str, Builder] = TERMS,
    balancer: Balancer | None = None,
) -> State:
    """Build a fresh run: networks, optimisers and random state from the configuration's seed.

    Numbers of steps that are shares of the training must be of a known one: `train.max_steps`, or `Config.settled`.

    On a CPU the process keeps from here on what memory it frees (`allocator`), so that a step
    need not ask the system for it anew.

    Args:
        pretrained: False leaves the encoder's weights random, for a state that is about to be loaded.
        processes: those that will train it together.
        terms: what may add to a step; a larger table has a caller's own.
        balancer: a caller's own, in the place of the configured method.

    Raises: InputError where weights are missing or do not fit, a part is not what it must be, or batch norm would have
        one value to take statistics from.
    """
    config = config.settled()
    if device.type == "cpu":
        keep_freed_memory()
    random.seed(config.seed)
    np.random.seed(config.seed % 2**32)
    torch.manual_seed(config.seed)
    # The networks come in channels_last already: on a CPU it is several times faster than the default layout.
    generator = generator_from(config, pretrained=pretrained and config.init is None)
    taken = take_weights(generator, config) if pretrained and config.init is not None else {}
    generator = generator.to(device)
    ema = copy.deepcopy(generator).eval().requires_grad_(False)
    set_batch_norm(generator, config.train.batch_norm, device, processes)
    if config.train.batch_norm != "synchronised" or processes.count == 1:
        width, height = config.data.crop or config.data.size
        smaller = 2 if config.train.halves else 1
        check_batch_norm(generator, config.data.batch_size, (width // smaller, height // smaller))
    balance = config.balance
    own = {"terms": ", ".join(sorted(terms))} if terms.keys() != TERMS.keys() else {}
    if balancer is None:
        balancer = build_balancer(balance.method, balance.options, list(config.tasks), config.objectives)
    else:
        check_balancer(balancer, list(config.tasks), config.objectives)
        own["balancer"] = type(balancer).__name__
    optimizer = generator_optimizer(generator, balancer, config)
    found = build_terms(config, device, terms)
    optimizers = term_optimizers(found, config)
    return State(
        config=config,
        device=device,
        generator=generator,
        ema=ema,
        terms=found,
        balancer=balancer,
        optimizer=optimizer,
        term_optimizers=optimizers,
        precision=Precision(config.train.precision, device, {"generator": optimizer, **optimizers}),
        freezing=Freezing(generator, config),
        record=Record(init=taken),
        growth=None if config.growth is None else Growth(config, generator, ema, optimizer, processes),
        affinity=None if config.affinity is None else _affinity(config, generator, optimizer, found, processes),
        processes=processes,
        own=own,
    )


def _affinity(
    config: Config, generator: Generator, optimizer: torch.optim.Optimizer, terms: nn.ModuleDict, processes: Processes
) -> Affinity:
    if "supervised" not in terms:
        raise InputError("affinity: compares the losses of the term supervised, and this run has none; leave it out")
    return Affinity(config, generator, optimizer, cast(Term, terms["supervised"]), processes)
