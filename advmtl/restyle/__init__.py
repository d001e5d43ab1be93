"""`advmtl restyle`: a labelled set in the look of recordings without labels, as a set of the same format with the same
labels; a look that is learnt (contrastive unpaired translation, Park et al. 2020), or one of colours alone.
"""

from advmtl.restyle.contrast import patch_nce
from advmtl.restyle.frechet import frechet_distance, gaussian_distance
from advmtl.restyle.restyling import Restyled, restyle
from advmtl.restyle.settings import Asked, Settings
