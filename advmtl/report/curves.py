"""Curves of several runs as charts: losses, metrics, discriminators, balancing, speed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from advmtl.evaluation import main_metrics
from advmtl.report.charts import Chart, Line
from advmtl.report.read import Row, RunRecord, is_number
from advmtl.report.task_sections import name_of, unit_of
from advmtl.tasks import TASKS

MOST_POINTS = 300
_TITLES = {
    "balance/weight/": "Weight of ",
    "gradient_cosine_at_z/": "Cosine of ",
    "gradient_norm_at_z/": "Gradient norm of ",
    "discriminator/": "Discriminator ",
    "adversarial/": "Adversarial: discriminator ",
}
Value = Callable[[RunRecord, Row], float | None]


@dataclass(frozen=True)
class Axis:
    """What the curves run over: epochs where every run knows how many steps one has, else steps."""

    name: str
    per_unit: tuple[float, ...]  # steps, by run

    @classmethod
    def of(cls, runs: Sequence[RunRecord]) -> "Axis":
        """The axis of all runs."""
        known = [run.steps_per_epoch for run in runs if run.train or run.validation]
        if all(known):
            return cls("epoch", tuple(run.steps_per_epoch or 1.0 for run in runs))
        return cls("step", (1.0,) * len(runs))

    def place(self, number: int, row: Row) -> float:
        """Where a row of run `number` lies."""
        return float(row["step"]) / self.per_unit[number]


def loss_charts(runs: Sequence[RunRecord], axis: Axis) -> list[Chart]:
    """Combined loss, that of each task, and the adversarial one, of training and validation."""
    supervised = [(f"{task.capitalize()} loss", f"{task}/supervised") for task in TASKS]
    adversarial = ("Adversarial loss", _adversarial, "losses/adversarial", "The discriminators' terms, each weighted.")
    wanted = [("Combined loss", _logged("combined"), "losses/combined", "What the generator minimises.")]
    wanted += [
        (title, _logged(key), f"losses/{key}", "Weighted sum of its supervised terms.") for title, key in supervised
    ]
    wanted.insert(2, adversarial)
    charts = []
    for title, train, validation, caption in wanted:
        lines = [line for number in range(len(runs)) for line in _both(runs, number, axis, train, _logged(validation))]
        charts += _chart(title, caption, axis, lines, log=True)
    return charts


def term_charts(runs: Sequence[RunRecord], axis: Axis) -> list[Chart]:
    """Each loss term on its own, not weighted."""
    terms = [
        key
        for key in _keys(runs, "train")
        if key.partition("/")[0] in (*TASKS, "adversarial") and not key.endswith("/supervised")
    ]
    charts = []
    for term in terms:
        pair = (_logged(term), _logged(f"losses/{term}"))
        lines = [line for number in range(len(runs)) for line in _both(runs, number, axis, *pair)]
        charts += _chart(_spaced(term), "Not weighted.", axis, lines, log=True)
    return charts


def metric_charts(runs: Sequence[RunRecord], axis: Axis) -> list[Chart]:
    """The main metrics of every task over the validations."""
    charts = []
    for task in TASKS.values():
        for figure in main_metrics(task):
            lines = []
            for number, run in enumerate(runs):
                lines += _line(run, number, axis, run.validation, _logged(f"{task.name}/{figure}"), "dashed")
            title = f"{task.name.capitalize()}: {name_of(figure)}"
            charts += _chart(title, "On validation frames.", axis, lines, unit=unit_of(figure))
    return charts


def training_charts(runs: Sequence[RunRecord], axis: Axis, prefixes: Sequence[str], caption: str) -> list[Chart]:
    """One chart a logged value whose name begins with one of `prefixes`."""
    charts = []
    for key in _keys(runs, "train"):
        if not key.startswith(tuple(prefixes)):
            continue
        lines = [line for number in range(len(runs)) for line in _train(runs, number, axis, _logged(key))]
        charts += _chart(_spaced(key), caption, axis, lines, log=key.startswith(("gradient_norm", "learning_rate")))
    return charts


def affinity_charts(runs: Sequence[RunRecord], axis: Axis) -> list[Chart]:
    """One chart for each measured pair, those of two different objectives first."""
    keys = [key for key in _keys(runs, "affinity") if key.startswith("affinity/")]
    charts = []
    for key in sorted(keys, key=_own_step):
        source, _, target = key.removeprefix("affinity/").rpartition(">")
        lines = []
        for number, run in enumerate(runs):
            lines += _line(run, number, axis, run.affinity, _logged(key), "solid")
        title = f"Step of {source.replace('_', ' ')}, loss of {target.replace('_', ' ')}"
        charts += _chart(title, "Share of its loss that the step takes away; below 0 it adds.", axis, lines)
    return charts


def _own_step(key: str) -> bool:
    source, _, target = key.removeprefix("affinity/").rpartition(">")
    return source == target


def chart_groups(runs: Sequence[RunRecord]) -> dict[str, list[Chart]]:
    """All charts of the page by what they are of."""
    axis = Axis.of(runs)
    discriminators = training_charts(runs, axis, ("discriminator/",), "")
    return {
        "losses": loss_charts(runs, axis),
        "terms": term_charts(runs, axis),
        "figures": metric_charts(runs, axis),
        "accuracies": [chart for chart in discriminators if "accuracy" in chart.title],
        "scores": [chart for chart in discriminators if "accuracy" not in chart.title],
        "partial": training_charts(runs, axis, ("partial/",), ""),
        "weights": training_charts(runs, axis, ("balance/",), "As given by the balancer."),
        "cosines": training_charts(runs, axis, ("gradient_cosine",), "−1: they pull apart, 1: together."),
        "norms": training_charts(runs, axis, ("gradient_norm", "learning_rate"), ""),
        "affinity": affinity_charts(runs, axis),
        "speed": speed_charts(runs, axis),
    }


def speed_charts(runs: Sequence[RunRecord], axis: Axis) -> list[Chart]:
    """Frames a second, between two log rows."""
    lines = []
    for number, run in enumerate(runs):
        timed = [row for row in run.timing if row.get("frames")]
        lines += _line(run, number, axis, timed, _logged("frames_per_s"), "solid")
    caption = "Training frames, without measuring and saving."
    return _chart("Throughput", caption, axis, lines, unit="frames/s")


def _chart(
    title: str, caption: str, axis: Axis, lines: list[Line], *, unit: str = "", log: bool = False
) -> list[Chart]:
    return [Chart(title, caption, axis.name, unit, lines, log)] if lines else []


def _logged(key: str) -> Value:
    # Of a task, a loss of exactly 0 in training says that no frame of the batch had its label.
    empty = key.partition("/")[0] in TASKS

    def value(run: RunRecord, row: Row) -> float | None:
        found = row.get(key)
        unlabelled = empty and found == 0 and row.get("kind") == "train"
        return float(found) if is_number(found) and not unlabelled else None

    return value


def _adversarial(run: RunRecord, row: Row) -> float | None:
    terms = [
        weight * row[f"adversarial/{name}"]
        for name, weight in run.discriminator_weights().items()
        if is_number(row.get(f"adversarial/{name}"))
    ]
    return float(sum(terms)) if terms else None


def _both(runs: Sequence[RunRecord], number: int, axis: Axis, train: Value, validation: Value) -> list[Line]:
    run = runs[number]
    return _train(runs, number, axis, train) + _line(run, number, axis, run.validation, validation, "dashed")


def _train(runs: Sequence[RunRecord], number: int, axis: Axis, value: Value) -> list[Line]:
    """Every logged step, faint, and above it the mean over each epoch."""
    run = runs[number]
    raw = _line(run, number, axis, run.train, value, "faint")
    if not raw or axis.name != "epoch":
        return [replace(one, style="solid") for one in raw]
    means = []
    # A row belongs to the epoch in which its step was taken.
    for epoch, rows in groupby(run.train, key=lambda row: row["epoch"]):
        found = [(axis.place(number, row), value(run, row)) for row in rows]
        values = [(x, y) for x, y in found if y is not None]
        if values:
            means.append((float(epoch) + 0.5, sum(y for _, y in values) / len(values)))
    x, y = zip(*means, strict=True)
    return [*raw, Line(run.name, number, x, y, of="training")]


def _line(run: RunRecord, number: int, axis: Axis, rows: Iterable[Row], value: Value, style: str) -> list[Line]:
    found = [(axis.place(number, row), value(run, row)) for row in rows]
    points = [(x, y) for x, y in found if y is not None]
    if not points:
        return []
    # Every n-th, and the last.
    step = -(-len(points) // MOST_POINTS)
    points = [*points[:-1:step], points[-1]]
    x, y = zip(*points, strict=True)
    of = {"dashed": "validation", "faint": "training"}.get(style, "")
    return [Line(run.name, number, x, y, style, of)]


def _keys(runs: Sequence[RunRecord], kind: str) -> list[str]:
    """Names of everything logged, in the order in which it first appears."""
    return list(dict.fromkeys(key for run in runs for row in getattr(run, kind) for key in row))


def _spaced(key: str) -> str:
    for begin, words in _TITLES.items():
        if key.startswith(begin):
            return words + key.removeprefix(begin).replace("~", " and ").replace("_", " ")
    return key.replace("/", ": ", 1).replace("/", " ").replace("_", " ").capitalize()
