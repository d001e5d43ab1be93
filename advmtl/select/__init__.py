"""Active learning: selecting the frames that differ most from all labelled or selected ones.

`select` goes from a run and its sources to the list; `find_frames`, `measure_frames` and `choose` by a `Rule` are its
steps, for who compares ways to choose.
"""

from advmtl.select.choice import Pick, Rule, choose
from advmtl.select.features import (
    Frames,
    Measured,
    depth_disagreement,
    depth_m,
    find_frames,
    load_student,
    measure_frames,
)
from advmtl.select.selection import Selection, select
