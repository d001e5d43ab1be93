"""How well a discriminator tells labels from predictions, by what it is shown.

    python benchmarks/critic_sight.py --data cityscapes:data/demo --out runs/critic_sight.json

A generator without an adversary learns for `--warm` steps and is then held still. Per variant a fresh discriminator learns on its
maps of `--batches` training batches for `--steps` updates, and is then asked about validation frames: how often a real frame scores above a
generated one over all pairs of a batch (accuracy), and how often the real one of the same patch (patch accuracy); 0.5 is chance. Beside
it stands what sharpness alone tells: the same for the mean over pixels of the largest probability of a class map, without any learning. Mean over `--seeds`
discriminators.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import yaml

from advmtl.config import DiscriminatorConfig, Source, load_config
from advmtl.data import train_loader, val_loaders
from advmtl.terms import DiscriminatorTerm, StepContext
from advmtl.training import build, train_step
from advmtl.training.step import forward
from preprocessing.ground import write_json

CPU = torch.device("cpu")
VARIANTS: dict[str, dict[str, Any]] = {
    f"{sees[0] if len(sees) == 1 else 'both'} {objective} 1/{scale} {maps}": {
        **{"sees": sees, "objective": objective, "scale": scale, "maps": maps},
        **({"layers": 2} if scale > 1 else {}),
    }
    for sees in (["segmentation"], ["depth"], ["segmentation", "depth"])
    for objective in ("hinge", "r3gan")
    for scale in (1, 4)
    for maps in (("soft", "confident", "sharp") if "segmentation" in sees else ("soft",))
}


def steps(args: argparse.Namespace) -> tuple[Any, list[StepContext], list[StepContext]]:
    """A trained generator's configuration, and what it makes of training and of validation batches."""
    config = load_config(
        "demo",
        [
            f"data.size={args.size}",
            "discriminators={}",
            "tasks.segmentation.loss_stride=2",
            "tasks.depth.loss_stride=2",
        ],
    )
    sources = {role: [Source.parse(f"{args.data}:{role}")] for role in ("train", "val")}
    config = config.model_copy(update={"data": config.data.model_copy(update=sources)})
    state, taken = build(config, CPU), 0
    if args.keep and args.keep.exists():
        state.generator.load_state_dict(torch.load(args.keep, weights_only=True))
        taken = args.warm
    while taken < args.warm:
        for batch in train_loader(config):
            for group in state.optimizer.param_groups:
                group["lr"] = config.train.learning_rate * min(1, (taken + 1) / 20)
            train_step(state, batch)
            taken, state.step = taken + 1, state.step + 1
            if taken == args.warm:
                break
    if args.keep:
        torch.save(state.generator.state_dict(), args.keep)
    with torch.no_grad():
        known = [forward(state, batch) for batch in islice(train_loader(config), args.batches)]
        unknown = [forward(state, batch) for _, loader in val_loaders(config) for batch in loader]
    return config, known, unknown[: args.batches]


def fresh(contexts: list[StepContext]) -> list[StepContext]:
    """The same steps without what another discriminator has made in them."""
    return [replace(one) for one in contexts]


def tell(config: Any, settings: DiscriminatorConfig, seed: int, contexts: tuple, updates: int) -> dict[str, float]:
    """Figures of one discriminator on validation frames."""
    torch.manual_seed(seed)
    term = DiscriminatorTerm("d", settings, config, torch.Generator().manual_seed(seed))
    optimizer = torch.optim.Adam(term.parameters(), lr=1e-3, betas=(0.5, 0.99))
    known, unknown = (fresh(part) for part in contexts)
    began = time.process_time()
    for number in range(updates):
        loss, _ = term.learn(known[number % len(known)])
        if loss is None:
            continue
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    spent = time.process_time() - began
    rows = []
    with torch.no_grad():
        for context in unknown:
            _, logs = term.eval().learn(context)
            shown = term._shown(context)
            assert shown is not None
            sure = [one.amax(1).flatten(1).mean(1) for one in (shown.real, shown.fake)]
            logs["sharpness"] = (sure[0][:, None] > sure[1]).float().mean() + 0.5 * (
                sure[0][:, None] == sure[1]
            ).float().mean()
            rows.append({name: float(value) for name, value in logs.items()})
    means = {name: statistics.mean(row[name] for row in rows) for name in rows[0]}
    return {**means, "gap": means["score_real"] - means["score_fake"], "cpu_s_per_update": spent / updates}


def further(texts: Sequence[str]) -> dict[str, Any]:
    """Keys and values of `key=value`."""
    return {key: yaml.safe_load(value) for key, _, value in (text.partition("=") for text in texts)}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="cityscapes:data/demo")
    parser.add_argument("--size", default="256x128")
    parser.add_argument("--warm", type=int, default=200)
    parser.add_argument("--batches", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", default="", help="variants whose name contains this")
    parser.add_argument("--set", nargs="*", default=[], help="further keys of all discriminators, e.g. penalty=0.1")
    parser.add_argument("--keep", type=Path, help="where the generator is kept between calls")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    config, known, unknown = steps(args)
    report = {}
    for name, settings in VARIANTS.items():
        if args.only not in name:
            continue
        one = DiscriminatorConfig.model_validate(settings | further(args.set))
        rows = [tell(config, one, seed, (known, unknown), args.steps) for seed in range(args.seeds)]
        report[name] = {key: statistics.mean(row[key] for row in rows) for key in rows[0]}
        found = report[name]
        print(name.ljust(36), *(f"{key} {value:.3f}" for key, value in found.items()), flush=True)
    if args.out:
        write_json(args.out, report)


if __name__ == "__main__":
    main()
