"""Settings of a training that will change nothing, or little of what they are meant for."""

from advmtl.config import Config, Plan

_FEW_LABELLED = 0.4
"""Of the frames drawn, where others have none: what labels teach then comes less often than it need."""


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
