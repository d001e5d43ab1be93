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
_FEW_LABELLED = 0.4
"""Of the frames drawn, where others have none: what labels teach then comes less often than it need."""


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


def idle(config: Config, plan: Plan) -> list[str]:
    """Settings that say nothing in this training, and change nothing of what is learnt."""
    train, data, steps = config.train, config.data, plan.steps
    found = []
    if train.log_every > steps:
        found.append(
            f"train.log_every: {train.log_every}, and the training has {steps} steps: none is logged; lower it"
        )
    if train.patience is not None and train.patience >= plan.measurements:
        found.append(
            f"train.patience: {train.patience}, and the training is measured {plan.measurements} times, so it never "
            "stops earlier; lower it, or train.evaluate_every_epochs"
        )
    if data.unlabelled_weight is not None and (data.label_budget == "all" or not _unlabelled_wanted(config)):
        found.append(
            "data.unlabelled_weight: says nothing without a data.label_budget and a part of partial that learns from "
            "frames without labels; leave it out"
        )
    return found


def drowned(config: Config, plan: Plan) -> list[str]:
    """More frames without any label than there should be beside those that teach what labels are."""
    if plan.labelled_share >= _FEW_LABELLED or not _unlabelled_wanted(config) or not plan.labelled_share:
        return []
    return [
        f"data.train: {plan.labelled_share:.0%} of the frames drawn have a label; give the sources with labels a "
        "weight, as in cityscapes:streets:train,weight=4, so that about half have"
    ]


def _unlabelled_wanted(config: Config) -> bool:
    return config.partial is not None and config.partial.needs_no_label
