"""How recordings look, in a file, put on other pictures: a network, a distribution of colours, single pictures'
colours. `advmtl.restyle` makes such files.
"""

from advmtl.styles.generator import RestyleGenerator, applied, changed
from advmtl.styles.statistics import (
    Colours,
    Histogram,
    colours_of,
    histogram_of,
    is_bare,
    level_shares,
    matching,
    moments_of,
)
from advmtl.styles.style import METHODS, Look, Network, Style, read_style, write_style
