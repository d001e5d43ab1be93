"""`advmtl weather`: a set under weather, as a set of the same format with the same labels; imports torch only through
the tables of tasks.
"""

from advmtl.weathered.frame import Way
from advmtl.weathered.write import Summary, read_ways, write_weather
