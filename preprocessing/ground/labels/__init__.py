"""Label sets: classes with names, colours and groups, how label files store them, and how one set becomes another."""

from preprocessing.ground.labels.label_set import (
    IGNORE,
    TRAIN_IDS,
    UNKNOWN,
    Colour,
    LabelSet,
    UInt8,
    colorize,
    sky_classes,
)
from preprocessing.ground.labels.named import LABEL_SET_NAMES, label_set, told_label_set
from preprocessing.ground.labels.nyu import nyu_names
from preprocessing.ground.labels.reading import as_plain, label_set_of, read_label_set
from preprocessing.ground.labels.tables import (
    Translation,
    count_labels,
    lookup_table,
    map_labels,
    source_set,
    translation,
)
