"""`advmtl inspect`: what a set, a bag or the sources of a configuration hold, and what of it will be read as what.

It asks the code that a training and `preprocess` ask (`advmtl.data.survey`, `preprocessing.job.inspect`), of a part of
the files, so that it says what they will say. Imports no torch.
"""

from advmtl.inspection.asked import Asked, ask
from advmtl.inspection.facts import KIND, facts_of
from advmtl.inspection.report import Report, inspect_sources, own_classes
from advmtl.inspection.sheet import write_sheets
from advmtl.inspection.words import report_lines
