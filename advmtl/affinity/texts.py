"""The tables of what was measured and of the proposed networks, as text for a console and for a page."""

from advmtl.affinity.grouping import Grouping
from advmtl.affinity.stages import STAGES, Affinities, Mean

NONE = "–"


def pair_table(found: Affinities) -> tuple[list[str], list[list[str]]]:
    """Head and a row a pair: Z in % of the loss of the task that it is measured on, + where the loss falls."""
    head = ["step of", "loss of", "Z [%]", *(f"{stage} [%]" for stage in STAGES), "of its own step's [%]"]
    rows = []
    for (source, target), mean in found.whole.items():
        share = found.share(source, target)
        stages = [_percent(stage.get((source, target))) for stage in found.stages]
        own = NONE if share is None else f"{100 * share:+.0f}"
        rows.append([source, target, _percent(mean), *stages, own])
    return head, rows


def group_table(proposed: list[Grouping]) -> tuple[list[str], list[list[str]]]:
    """Head and a row for each number of networks: its tasks, in brackets those that it is not deployed for."""
    rows = []
    for count, one in enumerate(proposed, 1):
        networks = []
        for number, group in enumerate(one.groups):
            names = [task if one.served[task] == number else f"({task})" for task in group]
            networks.append(" + ".join(names))
        gains = ", ".join(f"{task} {100 * gain:+.3f}" for task, gain in one.gains.items())
        rows.append([str(count), "; ".join(networks), gains, f"{100 * one.gain:+.3f}"])
    return ["networks, at most", "tasks of each", "mean Z of the others onto a task [%]", "sum [%]"], rows


def _percent(mean: Mean | None) -> str:
    if mean is None:
        return NONE
    return f"{100 * mean.value:+.3f}" + ("" if mean.error is None else f" ± {100 * mean.error:.3f}")
