"""What may change between stop and resume: keys that change no result, and keys that a run goes on with.

All others make another run, and are refused with the key's name.
"""

from collections.abc import Mapping
from types import MappingProxyType

# Values that say how a run is carried out and not what it computes: they are not part of the hash.
OPERATIONAL = (
    "data.workers",
    "data.cache_mb",
    "train.log_every",
    "train.panels",
    "train.checkpoint_every_steps",
    "train.compile",
    "train.threads",
)

GOES_ON: Mapping[str, str] = MappingProxyType(
    {
        "train.epochs": "the schedule of the new length holds from the step in hand on",
        "train.max_steps": "the schedule of the new length holds from the step in hand on",
        "train.patience": "measurements without a better one are counted on; a run that it had stopped begins at 0",
        "train.evaluate_every_epochs": "holds from the next epoch on",
        "train.best": "what has been measured is scored anew, and the best of the kept states is best.pt",
        "train.best_of": "holds from the next measurement on",
        "train.measure": "holds from the next measurement on",
        "train.keep": "holds from the next measurement on; what was not kept does not come back",
    }
)
"""Keys of the hash with which a run goes on, and what becomes of it."""
