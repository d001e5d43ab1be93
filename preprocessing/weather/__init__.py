"""Weather, light and faults of cameras on pictures, from distances, classes and the lens; NumPy and OpenCV alone.

Metres are those behind the frame's own lens; what adds up does so in linear light; the same draws give the same
picture.
"""

from preprocessing.weather.air import CONTRAST, transmission
from preprocessing.weather.kinds import KINDS, Effect, Kind, Parameter
from preprocessing.weather.scene import ROLES, Scene, filled, guessed_depth
from preprocessing.weather.showing import (
    HIDDEN_BELOW,
    Weathered,
    check_kind,
    lacking,
    read_kind,
    weathered,
)
