"""Parts of the network by the names that a configuration gives them; imports no torch."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

STAGES = 4  # of an encoder, at strides 4, 8, 16, 32

PARTS: Mapping[str, str] = MappingProxyType(
    {
        "encoder": "all stages",
        **{
            f"encoder.{stage}": f"the encoder's stem and its stages up to stride {4 * 2 ** (stage - 1)}"
            for stage in range(1, STAGES + 1)
        },
        "decoder": "from the encoder's maps to the shared representation",
        "heads": "all tasks' heads",
    }
)
"""What `train.freeze` and `train.rates` may name, beside `heads.TASK`."""


def check_parts(key: str, parts: Iterable[str], tasks: Iterable[str]) -> None:
    """Raises: ValueError, one line naming the key, for a part that the network does not have."""
    known = [*PARTS, *(f"heads.{task}" for task in tasks)]
    for part in parts:
        if part not in known:
            raise ValueError(f"{key}.{part}: the network has no such part; there are {', '.join(known)}")
