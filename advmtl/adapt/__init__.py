"""`advmtl adapt`: a trained network's batch norms take the statistics of other recordings; nothing is trained."""

from advmtl.adapt.adapting import Adapted, Asked, adapt
from advmtl.adapt.statistics import batch_norms, measure_statistics, normalise_as
