"""Quality of the depth that `preprocess` wrote: metrics, a page, pictures of the worst frames."""

from preprocessing.quality.check import QualityReport, QualitySettings, check_quality
from preprocessing.quality.page import headlines, percent
