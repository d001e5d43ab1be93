"""Saved states of versions before, in the layout of this one."""

from typing import Any

from advmtl.training.selection import of_older


def in_this_layout(state: dict[str, Any]) -> dict[str, Any]:
    """A saved state as this version saves it; what an older one did not have is as at a start."""
    # A run from before there were balancers is a plain sum, which has no state. Nor were there guards, other
    # precisions, several processes, growth, records.
    before = {"balancer": {}, "guards": {}, "precision": {}, "processes": 1, "growth": {}, "record": {}, "threads": 0}
    state = {**before, **state}
    state = _with_terms(state)
    if "best" in state:
        best, epoch = state.pop("best"), state["guards"].get("best_epoch", 0)
        state.setdefault("selection", of_older(best, epoch))
    return state


def _with_terms(state: dict[str, Any]) -> dict[str, Any]:
    """A saved state in the current layout; an older one has discriminators and partial supervision separately."""
    if "terms" in state or not {"discriminators", "discriminator_optimizers", "noise"} <= state.keys():
        return state
    old = {"partial": {}, "partial_optimizers": {}, **state}
    terms: dict[str, Any] = {}
    for key, value in old["discriminators"].items():
        name, _, rest = key.partition(".")
        terms[f"discriminator/{name}._extra_state"] = {"noise": old["noise"]}
        terms[f"discriminator/{name}.network.{rest}"] = value
    for key, value in old["partial"].items():
        terms[f"partial/{key}".replace(".critics.", ".discriminators.")] = value
    return {
        **{key: value for key, value in old.items() if key not in _OLD_KEYS},
        "terms": terms,
        "term_optimizers": {
            f"{kind}/{name}": value
            for kind in ("discriminator", "partial")
            for name, value in old[f"{kind}_optimizers"].items()
        },
    }


_OLD_KEYS = {"discriminators", "discriminator_optimizers", "partial", "partial_optimizers", "noise"}
