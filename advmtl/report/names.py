"""What the figures of `evaluation.json` are called in print; their keys stay those of the file."""

from advmtl.evaluation.metrics import UNITS

_NAMES = {
    "miou": "mIoU",
    "miou_categories": "mIoU of categories",
    "pixel_accuracy": "pixel accuracy",
    "boundary_iou": "boundary IoU",
    "abs_rel": "AbsRel",
    "sq_rel_m": "SqRel",
    "rmse_m": "RMSE",
    "rmse_log": "RMSE of ln",
    "delta1": "δ < 1.25",
    "delta2": "δ < 1.25²",
    "delta3": "δ < 1.25³",
    "edge_f1": "depth edge F1",
    "offset_rmse_px": "offset RMSE",
    "zero_rmse_px": "offset RMSE of predicting none",
    "width_px": "width of the picture",
    "pq": "PQ",
    "sq": "SQ",
    "rq": "RQ",
}


def name_of(figure: str) -> str:
    """A figure's name without its unit."""
    return _NAMES.get(figure, figure.replace("_", " "))


def unit_of(figure: str) -> str:
    """A figure's unit as it is put behind a value, empty for shares and ratios."""
    unit = UNITS.get(figure, "1")
    return "" if unit == "1" else unit


def heading_of(figure: str) -> str:
    """Name and unit, as at the head of a column."""
    unit = unit_of(figure)
    return f"{name_of(figure)} [{unit}]" if unit else name_of(figure)
