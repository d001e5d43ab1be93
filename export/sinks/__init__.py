"""Where results go: films, folders of pictures and of arrays, a log, a window. Each takes a `Delivery` after the other.

A caller's own kind of file goes into `SINKS` under its ending.
"""

from export.sinks.draw import Painter
from export.sinks.inferred import RECORD_VERSION, Delivery, Inferred, OnFrame, Record, Sink, completed
from export.sinks.names import new_paths, unique_name
from export.sinks.outputs import SINKS, OpenSink, Outputs, open_outputs
from export.sinks.setting import Setting
