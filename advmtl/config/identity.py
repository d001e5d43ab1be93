"""What of a configuration shapes the result, for the hash that names it and the runs before today's keys."""

from typing import Any

from advmtl.config.best import MEAN
from advmtl.config.going_on import OPERATIONAL

# Keys that came after the first runs; left out of the hash at these values, so that it still names those runs.
LATER: dict[str, Any] = {
    "encoder.name": "mobilenet_v3_small",
    "train.max_steps": None,
    "train.precision": "fp32",
    "train.adversarial_ramp_steps": 0,
    "train.discriminator_betas": [0.5, 0.99],
    "train.batch_norm": "local",
    "train.patience": None,
    "depth.lens": "ignored",
    "depth.canonical_fx_px": None,
    "data.fit": "stretch",
    "depth.scale": 1.0,
    "train.best": MEAN,
    "train.best_of": ["average"],
    "train.measure": ["average"],
    "train.keep": 0,
    "train.freeze": {},
    "train.rates": {},
    "train.small_share": 0.0,
    "train.small_every": 0,
    "data.label_budget": "all",
    "data.label_seed": 0,
    "data.unlabelled_weight": None,
    "data.rare_frames": None,
    "data.class_mix": None,
}
# The same of every source of data.
LATER_OF_SOURCES: dict[str, Any] = {
    **{"classes": None, "map": {}, "camera": None, "fx_px": None, "hfov_deg": None},
    **{"bits": None, "list": None, "part": None, "share": 0.2, "seed": 0},
}
# Of augmentation.
LATER_OF_AUGMENT: dict[str, Any] = {"weather": None, "restyle": None}
# Of weather in it.
LATER_OF_WEATHER: dict[str, Any] = {"until": None}
# And of every discriminator.
LATER_OF_DISCRIMINATORS = {"scale": 1, "maps": "soft", "penalty": None, "penalty_every": 1, "feature_matching": 0.0}
# Options that a run's hash has always named, given or not.
_HASHED_OPTIONS = dict.fromkeys(("space", "lam", "delta", "epsilon"))


def _forget(section: dict[str, Any], later: dict[str, Any]) -> None:
    """Take out, in place, the keys that came later and have the value that they stand for where they are not given."""
    for key, default in later.items():
        if key in section and section[key] == default:
            del section[key]


def what_shapes(values: dict[str, Any], *, labelled_apart: bool, own_rows: bool) -> dict[str, Any]:
    """The plain values of a configuration without those that shape no result, in place.

    labelled_apart: frames with and without labels are drawn apart. own_rows: multi-task discriminators have an
    objective that is balanced.
    """
    for task in values["tasks"].values():
        if task["loss_stride"] == 1:  # a run from before there was such a thing
            del task["loss_stride"]
        task["options"] = {loss: {**_HASHED_OPTIONS, **given} for loss, given in task["options"].items()}
        if task["class_weights"] is None:
            del task["class_weights"]
    for key in OPERATIONAL:
        section, _, name = key.partition(".")
        del values[section][name]
    for key, default in LATER.items():
        section, _, name = key.partition(".")
        if values[section][name] == default:
            del values[section][name]
    augment = values["data"]["augment"]
    _forget(augment["weather"] or {}, LATER_OF_WEATHER)
    _forget(augment, LATER_OF_AUGMENT)
    for source in (*values["data"]["train"], *values["data"]["val"]):
        _forget(source, LATER_OF_SOURCES)
    adversary = (values["partial"] or {}).get("adversary") or {}
    for discriminator in (*values["discriminators"].values(), adversary):
        _forget(discriminator, LATER_OF_DISCRIMINATORS)
    if not labelled_apart:
        values["data"].pop("unlabelled_weight", None)  # of frames that do not come apart, or not at all
    if values["partial"] is not None:  # options of methods that are off do not count
        values["partial"] = {name: part for name, part in values["partial"].items() if part is not None} or None
    for part in ("growth", "partial", "init"):
        if values[part] is None:  # a run from before there was such a thing
            del values[part]
    if not own_rows:
        del values["balance"]["multi_task_row"]  # a place for an objective that is not there
    return values
