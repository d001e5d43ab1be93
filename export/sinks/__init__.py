"""Where results go: films, ROS bags, folders of pictures and of arrays, a log, a window. Each takes a `Delivery` after
the other.

A caller's own kind of file goes into `SINKS` under its ending.
"""

from export.sinks.clouds import points_of
from export.sinks.draw import Painter
from export.sinks.film import CODECS
from export.sinks.inferred import RECORD_VERSION, Delivery, Inferred, OnFrame, Record, Sink, completed, lens_of_maps
from export.sinks.maps import map_files
from export.sinks.names import new_paths, unique_name
from export.sinks.outputs import SINKS, OpenSink, Outputs, open_outputs
from export.sinks.ros_messages import Messages, typestore
from export.sinks.setting import MAP_SIZES, MapSize, Setting
