"""One step: the discriminator learns on detached pictures, then the generator hears it, the contrast and the judge."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import parametrize

from advmtl.adversarial_objectives import OBJECTIVES, MapPair
from advmtl.data import Batch
from advmtl.restyle.contrast import drawn_places, patch_nce
from advmtl.restyle.pictures import normalised, plain
from advmtl.restyle.state import State
from advmtl.styles import changed

Logs = dict[str, Tensor]


def restyle_step(state: State, source: Batch, target: Batch) -> Logs:
    """Move the state by one batch of either set. Returns: losses, 0-d on the device."""
    before, like = plain(source.image), plain(target.image)
    draws = torch.Generator().manual_seed(_seed(state.settings.seed, state.step))
    logs: Logs = {}
    with state.precision.autocast():
        change, kept = state.generator.with_features(before)
        other_change, other_kept = state.generator.with_features(like)
    # Pictures of the target are contrasted with themselves, too: CUT's identity loss (Park et al. 2020, section 3.2).
    restyled, same = changed(before, change), changed(like, other_change)
    _discriminate(state, like, restyled.detach(), draws, logs)
    _update(state, "discriminator", logs["discriminator"])
    loss = _heard(state, restyled, like, logs)
    if state.settings.contrast > 0:
        pairs = ((kept, restyled, "contrast"), (other_kept, same, "identity"))
        for features, picture, name in pairs:
            logs[name] = _contrast(state, features, picture, draws)
            loss = loss + state.settings.contrast / 2 * logs[name]
    if state.judge is not None and state.settings.consistency > 0:
        with state.precision.autocast():
            found = state.judge.disagreement(normalised(restyled), source.image, source.targets)
        for name, value in found.items():
            logs[f"disagreement/{name}"] = value
            loss = loss + state.settings.consistency * value
    _update(state, "generator", loss)
    state.step += 1
    state.update_average()
    return {name: value.detach() for name, value in logs.items()}


def _seed(seed: int, step: int) -> int:
    return int(np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _discriminate(state: State, real: Tensor, fake: Tensor, draws: torch.Generator, logs: Logs) -> None:
    objective, network = OBJECTIVES[state.settings.objective], state.discriminator
    network.requires_grad_(True)
    with state.precision.autocast():
        real_scores, fake_scores = network.scores(_shown(torch.cat([real, fake]))).chunk(2)
    loss = objective.discriminator(real_scores, fake_scores).mean()
    if objective.penalty > 0:
        share = torch.rand(len(real), generator=draws).to(real.device)
        pair = MapPair(_shown(real), _shown(fake), share)
        loss = loss + objective.penalty * objective.regularise(network.slope, pair)
    logs["discriminator"] = loss
    # How often a patch of the target is found more real than one of the other set.
    logs["patch_accuracy"] = (real_scores.detach() > fake_scores.detach()).float().mean()


def _heard(state: State, restyled: Tensor, like: Tensor, logs: Logs) -> Tensor:
    objective, network = OBJECTIVES[state.settings.objective], state.discriminator
    network.requires_grad_(False)
    with state.precision.autocast(), parametrize.cached():
        told = [network.scores(_shown(restyled))]
        if objective.paired:
            with torch.no_grad():
                told.append(network.scores(_shown(like)))
    logs["adversarial"] = objective.generator(*told).mean()
    return state.settings.adversarial * logs["adversarial"]


def _contrast(state: State, features: list[Tensor], picture: Tensor, draws: torch.Generator) -> Tensor:
    with state.precision.autocast():
        after = state.generator.features(picture)
        places = drawn_places(features, state.settings.patches, draws)
        with torch.no_grad():
            keys = state.heads(features, places)
        queries = state.heads(after, places)
    return torch.stack([patch_nce(*pair) for pair in zip(queries, keys, strict=True)]).mean()


def _shown(pictures: Tensor) -> Tensor:
    """As the discriminator sees them: in −1..1."""
    return (2 * pictures - 1).contiguous(memory_format=torch.channels_last)


def _update(state: State, name: str, loss: Tensor) -> None:
    optimizer = state.optimizers[name]
    optimizer.zero_grad(set_to_none=True)
    state.precision.backward(name, loss)
    state.precision.step(name)
