"""From a stereo pair to disparity: the matchers by their settings, and cleaning their output.

CREStereo's network is imported when it is first used: torch with it.
"""

from preprocessing.stereo.census import CensusSettings
from preprocessing.stereo.cleaning import (
    AS_GIVEN,
    CONFIDENCE_CODE,
    MATCHED_FROM,
    Cleaned,
    CleanSettings,
    Match,
    clean,
    left_right_check,
    store_confidence,
)
from preprocessing.stereo.crestereo.matcher import CREStereoSettings
from preprocessing.stereo.filling import Regions
from preprocessing.stereo.masks import borders, read_mask, without
from preprocessing.stereo.match import (
    MATCHERS,
    DatasetSettings,
    MatcherSettings,
    check_size,
    find_matcher,
    match_dataset,
    match_pair,
    prepare,
)
from preprocessing.stereo.search import LARGEST_RANGE, NEAR_M, measurable_m, search_range, widest_range
from preprocessing.stereo.sgbm import SGBM_MODES, SgbmSettings
