"""What of the settings of a training can hardly be meant so, known from its plan before the first step."""

from collections.abc import Iterator

from advmtl.config import Config, Plan
from advmtl.training.optimizers import highest_rate

_LONG_WARM_UP = 0.25
"""Of the steps; a longer warm-up is doubted. With `poly` the rate then rises to three quarters of itself."""
_HIGH = 0.1
"""A step of Adam moves most weights by about its rate (Kingma and Ba 2015, section 2.1), and those of a convolution of
100 inputs are about 0.1 at first.
"""
_SHORT_WAY = 1e-5
"""All steps at the full rate; no weight goes much further."""


def setting_doubts(config: Config, plan: Plan) -> list[str]:
    """Schedules and frames against the number of steps."""
    train, steps = config.train, plan.steps
    found = _rates(config, plan)
    for part, until in train.freeze.items():
        if until is not None and until >= steps:
            found.append(
                f"train.freeze: {part} learns after {until} steps, and the training has {steps}, so it never does; "
                "lower it, or name the part alone"
            )
    if train.batch_norm == "frozen" and config.encoder.weights is None and config.init is None:
        found.append(
            "train.batch_norm: frozen keeps the statistics of pretrained weights, and there are none "
            "(encoder.weights: null), so nothing is normalised; give weights, or leave it out"
        )
    if plan.frames < plan.frames_per_step:
        found.append(
            f"data.batch_size: {plan.frames_per_step} frames a step of {plan.frames} there are: some come twice in it; "
            "lower it"
        )
    return found


def _rates(config: Config, plan: Plan) -> list[str]:
    """A line for a rate that ruins the weights, one that moves none, and a warm-up that never ends."""
    train, steps = config.train, plan.steps
    found = [*_high(config)]
    way = train.learning_rate * steps
    if way < _SHORT_WAY:
        found.append(
            f"train.learning_rate: {train.learning_rate:g}, so no weight moves by much more than {way:.1g} in the "
            f"{steps} steps of this training; 0.0003 to 0.01 is usual"
        )
    if train.warmup_steps > max(1, _LONG_WARM_UP * steps):  # a warm-up of one step is none
        share, at = highest_rate(steps, config)
        found.append(
            f"train.warmup_steps: {train.warmup_steps} of {steps} steps; the learning rate rises to "
            f"{train.learning_rate * share:.3g}, {share:.0%} of {train.learning_rate:g}, at step {at}; write a share "
            "of the steps, e.g. train.warmup_steps=10%"
        )
    return found


def _high(config: Config) -> Iterator[str]:
    rates = {"train.learning_rate": config.train.learning_rate}
    for name, settings in config.discriminators.items():
        if settings.learning_rate is None:
            rates["train.discriminator_learning_rate"] = config.train.discriminator_learning_rate
        else:
            rates[f"discriminators.{name}.learning_rate"] = settings.learning_rate
    for key, rate in rates.items():
        if rate > _HIGH:
            yield f"{key}: {rate:g}, and a step moves most weights by about as much; 0.0003 to 0.01 is usual"
