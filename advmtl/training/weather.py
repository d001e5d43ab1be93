"""What is said of weather and restyling of a training before its first step."""

from advmtl.config import Config, Plan
from advmtl.data import Line, weather_epochs
from advmtl.tasks import teller
from preprocessing.weather import KINDS


def restyle_lines(config: Config) -> list[Line]:
    """Which look pictures get, and how often; [] without one."""
    restyle = config.data.augment.restyle
    if restyle is None:
        return []
    return [Line(f"restyle: {restyle.chance:.0%} of the pictures are in the look of {restyle.file}; labels stay")]


def weather_lines(config: Config, plan: Plan) -> list[Line]:
    """Which weather the pictures have, and which kinds need a depth that frames do not have; [] without weather."""
    weather = config.data.augment.weather
    if weather is None:
        return []
    table = config.tables.get("weather", KINDS)
    words = []
    for name, ranges in weather.kinds.items():
        text = ", ".join(f"{key} {low:g} to {high:g}" for key, (low, high) in ranges.items())
        words.append(f"{name} ({text})" if text else name)
    lines = [Line(f"weather: {weather.chance:.0%} of the pictures are under one of {', '.join(words)}; labels stay")]
    epochs = weather_epochs(weather, plan.steps, plan.batches)
    if epochs is not None:
        lines.append(_until(epochs, plan))
    needing = [name for name in weather.kinds if table[name].needs_depth]
    distance = teller(config.task_table, "distance")
    learnt = distance in config.tasks
    without = sum(count for own, count in plan.labels.items() if not learnt or distance not in own)
    if needing and without:
        who = "no frame has depth" if without == plan.frames else f"{without} of {plan.frames} frames have no depth"
        if weather.guess_depth:
            lines.append(Line(f"weather: {who}, and is taken for a flat street where its classes show a ground"))
        else:
            never = len(needing) == len(weather.kinds)
            lines.append(
                Line(
                    f"data.augment.weather: {who}, so {', '.join(needing)} {'is' if len(needing) == 1 else 'are'} not "
                    "drawn there; guess_depth: true takes them for flat streets",
                    doubtful=never,
                )
            )
    return lines


def _until(epochs: int, plan: Plan) -> Line:
    whole = -(-plan.steps // plan.batches)
    if epochs >= whole:
        return Line(
            f"data.augment.weather.until: ends with the training, at epoch {whole}; an epoch is clear or it is not: "
            "write a smaller share, or train more epochs",
            doubtful=True,
        )
    return Line(f"weather: in the first {epochs} of {whole} epochs; then pictures are clear")
