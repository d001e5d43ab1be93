"""What the two processes of `test_distributed` do; a module of its own, so that they need not import the tests."""

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from street_set import TASKS as STREET_TASKS
from typer.testing import CliRunner

from advmtl.cli.app import app
from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from advmtl.data.loading import Batch, val_loaders
from advmtl.distributed import Processes, ProcessLost, losing, process_group
from advmtl.networks.batch_norm import set_batch_norm
from advmtl.training import loop as loop_module
from advmtl.training.finite import NonFiniteLoss
from advmtl.training.fitting import fit
from advmtl.training.state import State, build
from advmtl.training.step import train_step
from preprocessing.ground.errors import InputError

CPU = torch.device("cpu")
SIZE = (48, 32)  # height, width
LOSSES = {
    "segmentation": {
        "losses": {"cross_entropy": 1.0, "dice": 0.5, "focal": 0.3, "ohem": 0.2, "lovasz": 0.2},
        "options": {
            "cross_entropy": {"label_smoothing": 0.1, "boundary_weight": 1.0},
            "ohem": {"threshold": 0.05, "min_kept": 0.3},
        },
        "class_weights": {"classes": {"human": 3.0, "sky": 0.5}, "losses": ["focal", "ohem", "dice", "lovasz"]},
    },
    "depth": {
        "losses": {"scale_invariant": 1.0, "berhu": 0.1, "huber": 0.1, "smoothness": 0.05, "gradient_matching": 0.1}
    },
    "instance": {"losses": {"l1": 1.0, "smooth_l1": 0.5}},
}
CRITICS = {
    "segmentation": {"sees": ["segmentation"], "objective": "hinge", "channels": 4, "layers": 2},
    "both": {"sees": ["segmentation", "depth"], "objective": "wgan_gp", "channels": 4, "layers": 2},
}
# The critics of the case "relativistic".
RELATIVISTIC = {
    "segmentation": {"sees": ["segmentation"], "objective": "hinge", "channels": 4, "layers": 2, "maps": "sharp"},
    "both": {
        **{"sees": ["image", "segmentation", "depth"], "objective": "r3gan", "channels": 4, "layers": 2},
        **{"scale": 2, "maps": "confident", "penalty_every": 2, "penalty": 0.1, "feature_matching": 0.3},
    },
}
# Method, place, batch norm, critics.
CASES: dict[str, tuple[str, str, str, bool]] = {
    "critics": ("sum", "representation", "synchronised", True),
    "relativistic": ("sum", "representation", "synchronised", True),
    "at z": ("nash_mtl", "representation", "frozen", True),
    "at parameters": ("min_norm", "parameters", "synchronised", True),
    "rotations": ("rotograd", "representation", "frozen", False),
    "loss weights": ("uncertainty", "representation", "frozen", True),
    "domains": ("sum", "representation", "frozen", False),
    "growth": ("mgda", "representation", "synchronised", True),
    "growth, frozen": ("mgda", "representation", "frozen", True),
    "growth, exclusive": ("min_norm", "parameters", "synchronised", True),
    "consistency": ("sum", "representation", "synchronised", False),
}
# They are run by a pair of processes of their own.
SLOW_CASES = ("loss weights", "growth, frozen", "growth, exclusive")
PARTIAL: dict[str, dict[str, object]] = {
    "domains": {
        "adversary": {"channels": 4, "layers": 2, "labelled_weight": 0.5, "transform": "both", "agreement": 0.1}
    },
    "consistency": {"consistency": {"width": 4, "ramp_steps": 2}},
}
# A detection after each of the first two steps.
GROWTH: dict[str, object] = {
    **{"detections": 2, "start_step": 0, "every_steps": 1, "accumulate_steps": 1, "expansion": 2.0}
}
GROWN: dict[str, dict[str, object]] = {
    "growth": GROWTH,
    "growth, frozen": GROWTH,
    "growth, exclusive": {**GROWTH, "modules": "exclusive"},
}


def case_config(name: str) -> Config:
    method, at, norm, critics = CASES[name]
    return validate(
        Config,
        {
            "tasks": LOSSES,
            "discriminators": (RELATIVISTIC if name == "relativistic" else CRITICS) if critics else {},
            "balance": {"method": method, "at": at},
            "partial": PARTIAL.get(name),
            "growth": GROWN.get(name),
            "affinity": {"share": 1.0} if name == "at z" else None,  # measured in the third step
            "encoder": {"weights": None, "width": 0.5},
            "generator": {"channels": 8, "crp_stages": 1},
            "data": {"classes": "categories7", "size": f"{SIZE[1]}x{SIZE[0]}"},
            "train": {"batch_norm": norm, "warmup_steps": 1},
        },
        "test",
    )


def four_frames(step: int) -> Batch:
    """Labels here and there: on step 1 the last two, one process's, have no depth; on step 2 no frame has classes."""
    noise = torch.Generator().manual_seed(step)
    shape = (4, *SIZE)
    classes = torch.randint(0, 7, shape, generator=noise)
    metres = (2 + 40 * torch.rand(4, 1, *SIZE, generator=noise)) * (torch.rand(4, 1, *SIZE, generator=noise) > 0.4)
    ids = torch.randint(0, 3, (4, 1, *SIZE), generator=noise) * 26_000
    offsets = torch.cat([10 * torch.randn(4, 2, *SIZE, generator=noise) * (ids > 0), ids.float()], 1)
    present = {
        "segmentation": [step != 2, step == 0, step != 2, step != 2],
        "depth": [True, step != 1, step == 0, step == 2],
        "instance": [step == 0, False, True, step == 1],
    }
    for task, target, missing in (("segmentation", classes, 255), ("depth", metres, 0)):
        target[[i for i in range(4) if not present[task][i]]] = missing
    for i in range(4):
        if not present["instance"][i]:
            offsets[i, :2], offsets[i, 2] = 0, 65535
    targets = {"segmentation": classes, "depth": metres, "instance": offsets}
    image = torch.randn(4, 3, *SIZE, generator=noise)
    return Batch(image, targets, present, [f"step{step}_frame{i}" for i in range(4)])


def own_part(batch: Batch, processes: Processes) -> Batch:
    own = slice(processes.rank * 4 // processes.count, (processes.rank + 1) * 4 // processes.count)
    return Batch(
        batch.image[own].double(),
        {
            name: target[own] if name == "segmentation" else target[own].double()
            for name, target in batch.targets.items()
        },
        {name: values[own] for name, values in batch.present.items()},
        batch.names[own],
    )


def weights(state: State) -> dict[str, torch.Tensor]:
    """Weights, statistics, averages, the balancer's history."""
    parts = {"g": state.generator, "ema": state.ema, "t": state.terms, "b": state.balancer}
    values = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}
    return {name: value.clone() for name, value in values.items() if isinstance(value, torch.Tensor)}


def some_steps(name: str, processes: Processes, steps: int = 3) -> dict[str, Any]:
    """float64, so that what differs is a fault and not rounding that Adam's division by its own size blew up."""
    torch.set_default_dtype(torch.float64)
    try:
        state = build(case_config(name), CPU, processes=processes)
        logs = []
        for step in range(steps):
            values = train_step(state, own_part(four_frames(step), processes), statistics=True)
            logs.append({key: float(value) for key, value in values.items()})
            if state.affinity is not None:
                logs[-1] |= {key: float(value) for key, value in state.affinity.take().items()}
            state.step += 1
            detection = state.grow()
            if detection is not None:
                logs[-1] |= detection.row()
        return {"weights": weights(state), "logs": logs}
    finally:
        torch.set_default_dtype(torch.float32)


def spoilt_step(processes: Processes) -> str:
    """The second process's first frame has an infinite pixel."""
    # Frozen: a synchronised batch norm would spread it over all frames.
    state = build(case_config("at z"), CPU, processes=processes)
    batch = own_part(four_frames(0), processes)
    image = batch.image.float()
    if processes.rank == 1:
        image[0, 0, 0, 0] = float("inf")
    targets = {name: value if name == "segmentation" else value.float() for name, value in batch.targets.items()}
    with pytest.raises(NonFiniteLoss) as caught:
        train_step(state, Batch(image, targets, batch.present, batch.names))
    return str(caught.value)


def exchanges(processes: Processes) -> dict[str, Any]:
    """The small ones, by hand."""
    rank = processes.rank
    own = torch.tensor([1.0 + rank, 3.0], requires_grad=True)
    whole = processes.sum_with_gradient(own)
    whole.square().sum().backward()
    averaged = [torch.tensor([[float(rank), 4.0]]).T, torch.full((2,), float(rank), dtype=torch.float64)]
    processes.average(averaged)

    def broken_on_the_second() -> str:
        if rank == 1:
            raise InputError("data.train: no such folder")
        return "done"

    with pytest.raises(InputError) as together:
        processes.raise_together(broken_on_the_second)
    with pytest.raises(InputError) as differ:
        processes.assert_equal(f"hash {rank}", "configuration")
    return {
        "total": processes.total(torch.tensor([rank, 5])).tolist(),
        "largest": processes.largest(torch.tensor([rank, -rank])).tolist(),
        "global_count": float(processes.global_count(torch.tensor(3 * rank))),
        "nothing": float(processes.global_count(torch.tensor(0))),
        "whole": (whole.tolist(), own.grad.tolist() if own.grad is not None else None),
        "averaged": [tensor.flatten().tolist() for tensor in averaged],
        "any": [processes.any(rank == 1), processes.any(False)],
        "gathered": processes.gather({"rank": rank, "frames": ["x"] * rank}),
        "from_rank0": processes.object_from_rank0("the first's" if processes.is_main else None),
        "together": str(together.value),
        "differ": str(differ.value),
    }


def normalised(norm: torch.nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Output, gradients and statistics of a batch norm under a loss that is not linear."""
    x = x.clone().requires_grad_()
    y = norm(x)
    (y**3 * torch.linspace(0.5, 1, x.shape[1])[:, None, None]).sum().backward()
    found = {"y": y, "x": x.grad, **{name: p.grad for name, p in norm.named_parameters()}, **dict(norm.named_buffers())}
    return {name: value.detach().clone() for name, value in found.items() if value is not None}


def norm_of_three_channels() -> torch.nn.Sequential:
    norm = torch.nn.BatchNorm2d(3, eps=1e-3, momentum=0.2).double()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 1.5, -2.0]))
        norm.bias.copy_(torch.tensor([1.0, -1.0, 0.0]))
    return torch.nn.Sequential(norm)


def pictures() -> torch.Tensor:
    """[4,3,5,7], far from 0, so that E[x²] − E[x]² would lose digits."""
    return 1000 + torch.randn(4, 3, 5, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def run_config(streets: Path, **train: object) -> Config:
    """Two epochs of three steps for two processes with a frame each; noise is drawn in every step, modules grow after
    the second and the third; classes are weighed, and some frames drawn, by counts.
    """
    sources = {role: [{"format": "cityscapes", "root": str(streets), "split": role}] for role in ("train", "val")}
    values = {
        "name": "pair",
        "seed": 3,
        "tasks": {
            **STREET_TASKS,
            "segmentation": {**STREET_TASKS["segmentation"], "class_weights": "inverse_square_root"},
        },
        "encoder": {"weights": None, "width": 0.5},
        "generator": {"channels": 8, "crp_stages": 1},
        "discriminators": {
            "both": {"sees": ["segmentation", "depth"], "objective": "wgan_gp", "channels": 4, "layers": 2}
        },
        "balance": {"method": "pcgrad"},
        "growth": {**GROWTH, "start_step": 1},
        "data": {
            **{**sources, "size": "64x32", "batch_size": 1, "workers": 0, "cache_mb": 0},
            "rare_frames": {"share": 0.4},
        },
        "train": {"epochs": 2, "log_every": 1, "warmup_steps": 2, "panels": 0, **train},
    }
    return validate(Config, values, "test")


def quiet() -> Console:
    return Console(quiet=True)


def _stopped_run(config: Config, folder: Path, after: int, processes: Processes) -> str:
    """The second process gets Ctrl-C in the middle of a step; both must leave, saved."""
    real, taken = loop_module.train_step, 0

    def step(*args: Any, **options: Any) -> Any:
        nonlocal taken
        taken += 1
        if taken == after and processes.rank == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*args, **options)

    loop_module.train_step = step
    try:
        fit(config, folder, CPU, quiet(), processes=processes)
    except KeyboardInterrupt:
        return f"stopped after {taken}"
    finally:
        loop_module.train_step = real
    return "went on to the end"


def _command(streets: Path, folder: Path) -> dict[str, Any]:
    """`advmtl train` as torchrun starts it: a run, and one whose data only the first process has."""
    path = folder / f"pair{os.environ['RANK']}.yaml"
    path.write_text(run_config(streets, epochs=1).to_yaml())
    train = ["train", str(path), "--device", "cpu", "--out", str(folder / "command")]
    good = CliRunner().invoke(app, train)
    there = streets if os.environ["RANK"] == "0" else folder / "nowhere"
    os.environ["MASTER_PORT"] = os.environ["SECOND_PORT"]
    bad = CliRunner().invoke(app, [*train, "--data", f"cityscapes:{there}"])
    return {"good": (good.exit_code, good.output), "bad": (bad.exit_code, bad.output)}


def process(rank: int, streets: str, results: str, ports: list[int]) -> None:
    """Everything one of the two does; what it found lies in `<results>/<rank>.pt`."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(ports[0]), "SECOND_PORT": str(ports[1])}
    command = _command(Path(streets), Path(results))
    os.environ["MASTER_PORT"] = str(ports[2])
    with process_group(CPU) as (processes, _):
        found = _everything(processes, Path(streets), Path(results)) | {"command": command}
        torch.save(found, f"{results}/{rank}.pt")
        if rank == 1:
            os._exit(0)  # as if killed: it says no farewell
        with pytest.raises(ProcessLost, match="another process of this training left"), losing():
            processes.barrier()
            processes.barrier()
        Path(results, "lost").touch()


def slow_process(rank: int, results: str, port: int) -> None:
    """The steps of the other cases."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with process_group(CPU) as (processes, _):
        torch.save({name: some_steps(name, processes) for name in SLOW_CASES}, f"{results}/{rank}.pt")


def _everything(processes: Processes, streets: Path, folder: Path) -> dict[str, Any]:
    rank = processes.rank
    config = run_config(streets)
    found: dict[str, Any] = {name: some_steps(name, processes) for name in CASES if name not in SLOW_CASES}
    found["exchanges"] = exchanges(processes)
    found["spoilt"] = spoilt_step(processes)
    norm = set_batch_norm(norm_of_three_channels(), "synchronised", CPU, processes)
    found["norm"] = normalised(norm[0], pictures()[2 * rank : 2 * rank + 2])
    found["metrics"] = fit(config, folder / "whole", CPU, quiet(), processes=processes).metrics
    found["stopped"] = _stopped_run(config, folder / "stopped", 2, processes)
    if processes.is_main:
        shutil.copytree(folder / "stopped", folder / "other")
    processes.barrier()
    found["resumed"] = fit(config, folder / "stopped", CPU, quiet(), processes=processes).metrics
    loaders = val_loaders(config, rank=rank, world_size=2)
    found["frames"] = [name for _, loader in loaders for batch in loader for name in batch.names]
    return found


def unmatched(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], tolerance: float) -> list[str]:
    """Names of the tensors that differ by more."""
    assert found.keys() == wanted.keys()
    return [name for name, value in wanted.items() if not torch.allclose(found[name], value, rtol=0, atol=tolerance)]
