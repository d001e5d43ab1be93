"""Threads of a training step on a CPU, on an idle machine and beside other work: seconds of a step by way of computing it, taken in turn.

    python benchmarks/threads.py --config baseline --size 256x128 --batch 8 --rounds 8 --busy 0 1

Each way is a process of its own (or a pair of them under gloo, each with half the frames), which waits while the others take their steps. In a round each way takes one
step; `--busy N` rounds are made beside N processes that only count. The table has medians over the rounds: wall seconds, those relative to one thread of the same round, and
CPU seconds. `load` is the system's mean number of runnable processes while it ran, ours among them: where it is above the cores without `--busy`, others compute too.

`--bits` compares instead what the ways compute: largest difference of any weight after some steps, and whether all bits are equal.
"""

import argparse
import multiprocessing
import os
import statistics
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from preprocessing.ground import write_json

# Environment of the process, threads, processes. torch's wheel for Linux brings GNU's OpenMP: KMP_BLOCKTIME does nothing there.
WAYS: dict[str, tuple[dict[str, str], int, int]] = {
    "1 thread": ({}, 1, 1),
    "2 threads": ({}, 2, 1),
    "2 threads, OMP_WAIT_POLICY=passive": ({"OMP_WAIT_POLICY": "passive"}, 2, 1),
    "2 threads, GOMP_SPINCOUNT=1000": ({"GOMP_SPINCOUNT": "1000"}, 2, 1),
    "2 threads, GOMP_SPINCOUNT=10000": ({"GOMP_SPINCOUNT": "10000"}, 2, 1),
    "2 processes of 1 thread": ({}, 1, 2),
}


def work(pipe: Connection, way: str, rank: int, port: int, options: dict[str, Any]) -> None:
    """A process that takes a step for each message, and answers with wall and CPU seconds; "weights" asks for those."""
    environment, threads, count = WAYS[way]
    os.environ |= environment | {"OMP_NUM_THREADS": str(threads)}
    if count > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    import torch  # now: GNU's OpenMP reads its variables when it is loaded
    from balancer_cost import make_batch

    from advmtl.config import load_config
    from advmtl.distributed import process_group
    from advmtl.training import build, train_step

    torch.set_num_threads(threads)
    base = load_config(options["config"])
    off = [f"tasks.{task}.losses.perceptual=0" for task in base.tasks if "perceptual" in base.tasks[task].losses]
    config = load_config(options["config"], ["encoder.weights=null", f"data.size={options['size']}", *off])
    with process_group(torch.device("cpu")) as (processes, device):
        state = build(config, device, processes=processes)
        batch = make_batch(config, options["batch"] // count)
        pipe.send("ready")
        while (message := pipe.recv()) != "end":
            if message == "weights":
                pipe.send([value.numpy().copy() for value in state.generator.state_dict().values()])
                continue
            started, used = time.perf_counter(), time.process_time()
            train_step(state, batch)
            state.step += 1
            pipe.send((time.perf_counter() - started, time.process_time() - used))


class Way:
    """One way's processes."""

    def __init__(self, way: str, port: int, options: dict[str, Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipes, self.processes = [], []
        for rank in range(WAYS[way][2]):
            mine, theirs = context.Pipe()
            process = context.Process(target=work, args=(theirs, way, rank, port, options), daemon=True)
            process.start()
            self.pipes.append(mine)
            self.processes.append(process)
        for pipe in self.pipes:
            pipe.recv()

    def ask(self, message: str) -> list[Any]:
        """The processes' answers."""
        for pipe in self.pipes:
            pipe.send(message)
        return [pipe.recv() for pipe in self.pipes]

    def step(self) -> tuple[float, float]:
        """Wall seconds of the slower one, CPU seconds of all."""
        answers = self.ask("step")
        return max(wall for wall, _ in answers), sum(cpu for _, cpu in answers)

    def end(self) -> None:
        """Let them go."""
        for pipe, process in zip(self.pipes, self.processes, strict=True):
            pipe.send("end")
            process.join()


def count_for_ever() -> None:
    """What another process does."""
    number = 0
    while True:
        number += 1


def in_turn(ways: dict[str, Way], rounds: int, busy: int) -> dict[str, Any]:
    """Medians over the rounds, after one that does not count."""
    others = [multiprocessing.get_context("spawn").Process(target=count_for_ever, daemon=True) for _ in range(busy)]
    for other in others:
        other.start()
    try:
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        loads = []
        for number in range(rounds + 1):
            for name, way in ways.items():
                seconds = way.step()
                if number:
                    taken[name].append(seconds)
            loads.append(int(Path("/proc/loadavg").read_text().split()[3].split("/")[0]))
    finally:
        for other in others:
            other.terminate()
    first = next(iter(ways))
    return {
        "busy": busy,
        "load": statistics.mean(loads),
        "ways": {
            name: {
                "wall_s": statistics.median(wall for wall, _ in found),
                "relative": statistics.median(
                    wall / base for (wall, _), (base, _) in zip(found, taken[first], strict=True)
                ),
                "cpu_s": statistics.median(cpu for _, cpu in found),
            }
            for name, found in taken.items()
        },
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="baseline")
    parser.add_argument("--size", default="256x128")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--ways", nargs="+", default=list(WAYS))
    parser.add_argument("--bits", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    options = {"config": args.config, "size": args.size, "batch": args.batch}
    ways = {name: Way(name, 29600 + number, options) for number, name in enumerate(args.ways)}
    found: list[dict[str, Any]] = []
    if args.bits:
        compare(ways, args.rounds)
    else:
        for busy in args.busy:
            one = in_turn(ways, args.rounds, busy)
            found.append(one)
            print(f"beside {busy} busy processes, load {one['load']:.1f}", flush=True)
            for name, values in one["ways"].items():
                print(
                    f"  {name:36s} {values['wall_s']:.3f} s  {values['relative']:.2f}  {values['cpu_s']:.3f} CPU s",
                    flush=True,
                )
    for way in ways.values():
        way.end()
    if args.out:
        write_json(args.out, {**options, "rounds": args.rounds, "found": found})


def compare(ways: dict[str, Way], steps: int) -> None:
    """Print how far the ways' weights are from the first one's after some steps."""
    weights = {}
    for name, way in ways.items():
        for _ in range(steps):
            way.step()
        weights[name] = way.ask("weights")[0]
    first, *others = weights
    for name in others:
        pairs = list(zip(weights[first], weights[name], strict=True))
        apart = max(float(abs(a.astype("f8") - b.astype("f8")).max()) for a, b in pairs if a.size)
        equal = all((a == b).all() for a, b in pairs)
        print(
            f"{name:36s} after {steps} steps: {'the same bits as' if equal else 'other bits than'} {first}, at most {apart:.1e} apart"
        )


if __name__ == "__main__":
    main()
