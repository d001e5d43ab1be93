"""A model over a video, a folder, a camera or a network stream, with decoding, network and drawing overlapped.

    from export.stream import Outputs, infer, run
    infer(session, "drive.mp4", Outputs(Path("result.mp4")))  # into files, as `advmtl infer` does
    run(session, "/dev/video0", lambda frame: print(frame.result.depth_m.min()))  # into a function

NumPy, OpenCV and what runs the model are all that it needs.
"""

from export.sinks import Inferred, OnFrame, Outputs, Painter, Record, unique_name
from export.sources import Film, Frames, Loaded, Notice, Reading, Skipped, Source, find_images, looped, open_source
from export.stream.queue import session_threads
from export.stream.report import StreamReport, print_report
from export.stream.stream import infer, infer_from, run
from export.stream.views import Views
