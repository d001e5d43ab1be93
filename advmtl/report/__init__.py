"""The HTML report about runs: settings, curves, metrics, worst frames.

`write_report` reads run folders and writes the page with its metrics as JSON; `read_runs` is its reader, for who wants
the rows of runs, also of old, unfinished and damaged ones.
"""

from advmtl.report.affinity import measured_in, proposed_by
from advmtl.report.page import write_report
from advmtl.report.read import RunRecord, read_run, read_runs
