"""Configuration of restyling in training: which look, how often."""

from typing import Annotated

from pydantic import Field

from advmtl.config.typed import Fraction, Strict


class RestyleConfig(Strict):
    """Training pictures in the look of other recordings; labels stay as they are.

    Attributes:
        file: a look that `advmtl restyle` made; one that was learnt fits pictures of the size of its training.
        chance: of a picture to be changed.
    """

    file: Annotated[str, Field(min_length=1)]
    chance: Fraction = 0.5
