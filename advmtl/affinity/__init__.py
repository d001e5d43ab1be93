"""What a run has measured of its tasks' affinity: means by stage of training, and which tasks to train together.

Imports no torch: it reads the rows of kind `affinity` that `advmtl.training` writes.
"""

from advmtl.affinity.grouping import MOST_TASKS, Grouping, proposals, propose
from advmtl.affinity.stages import STAGES, Affinities, Mean, affinities_of
from advmtl.affinity.texts import group_table, pair_table
