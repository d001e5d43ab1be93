"""Comparing configurations with single-task learning: same budget, several seeds; training, tables, plot.

`read_configurations` reads them as typed, `compare` does the rest; `delta_m` and `win_rate` are its measures by
themselves. `Grid`, `free_offset`, `ready` and `time_left` serve other rooms that train several runs.
"""

from advmtl.compare.comparison import compare, time_left
from advmtl.compare.configs import read_configurations
from advmtl.compare.metrics import Comparison, delta_m, win_rate
from advmtl.compare.picture import free_offset
from advmtl.compare.table import Grid
from advmtl.compare.timing import ready
