"""Comparing configurations with single-task learning: same budget, several seeds; training, tables, plot.

`read_configurations` reads them as typed, `compare` does the rest; `delta_m` and `win_rate` are its measures by
themselves.
"""

from advmtl.compare.comparison import compare
from advmtl.compare.configs import read_configurations
from advmtl.compare.metrics import Comparison, delta_m, win_rate
