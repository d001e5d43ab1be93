"""The ground of a street: carriageway, pavements, verges, parks, the crossing street, kerb faces."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from preprocessing.scenes.layout import FAR, KERB, NEAR, Plot, Street
from preprocessing.scenes.mesh import smooth
from preprocessing.scenes.stage import ROAD, SIDEWALK, TERRAIN, Look, Stage

_OUTER = np.array([0, 1.5, 4, 8, 14, 22, 32, 45, 62, 85.0])


def hills(street: Street, s: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Height [m] of rolling ground above the pavement, zero at the frontage and at the crossing street."""
    beyond = np.abs(t) - np.where(t < 0, street.frontage(-1), street.frontage(1))
    rise = np.clip((beyond - 1) / 25, 0, 1) ** 1.3
    if street.junction is not None:
        middle, half = sum(street.junction) / 2, (street.junction[1] - street.junction[0]) / 2 + 3
        rise = rise * np.clip((np.abs(s - middle) - half) / 15, 0, 1)
    phase = street.seed % 7
    return np.asarray(rise * (1.6 + 1.6 * np.sin(s / 13.0 + phase) * np.cos(t / 17.0 + phase)))


def _bands(street: Street) -> NDArray[np.float64]:
    lines = [0.0]
    for side in (-1, 1):
        kerb, verge = street.kerb(side), street.side(side).verge
        lines += [side * kerb, side * (kerb + verge), *(side * (street.frontage(side) + _OUTER))]
    return np.unique(np.round(lines, 4))


def _rows(street: Street) -> NDArray[np.float64]:
    lines = list(np.arange(NEAR, 40, 2.0)) + list(np.arange(40, FAR + 1, 4.0))
    if street.junction is not None:
        a, b = street.junction
        lines += [a - 3, a, b, b + 3]
    lines += [edge for plot in street.plots for edge in (plot.start, plot.end)]
    return np.unique(np.round(lines, 3))


def _plot_at(street: Street, side: int, s: float) -> Plot | None:
    return next((p for p in street.plots if p.side == side and p.start <= s < p.end), None)


def surface_at(street: Street, s: float, t: float) -> str:
    """What the ground is made of at (s, t): road, walk, verge or park."""
    side = -1 if t < 0 else 1
    out = abs(t)
    if street.junction is not None and street.junction[0] < s < street.junction[1]:
        return "road"
    if out < street.kerb(side):
        return "road"
    if street.in_junction(s, 3.0):
        return "walk"
    verge = street.side(side).verge
    if out < street.kerb(side) + verge:
        return "verge"
    if out < street.frontage(side):
        return "walk"
    plot = _plot_at(street, side, s)
    if plot is None or plot.kind in ("houses", "works"):
        return "walk" if out < street.frontage(side) + 8 and street.theme in _PAVED else "park"
    return "park"


_PAVED = ("city", "plaza", "industrial")
_LOOKS = {"road": "asphalt", "walk": "paving", "verge": "grass", "park": "grass"}
_LABELS = {"road": ROAD, "walk": SIDEWALK, "verge": TERRAIN, "park": TERRAIN}


def ground_height(street: Street, s: float, t: float) -> float:
    """Height [m] of the ground above the carriageway at (s, t)."""
    kind = surface_at(street, s, t)
    if kind == "road":
        return 0.0
    bump = float(hills(street, np.array(s), np.array(t))) if kind == "park" else 0.0
    return KERB + bump


def build_ground(stage: Stage, street: Street, colours: dict[str, tuple[float, float, float]]) -> None:
    """Lay the ground; `colours` gives the albedo of road, walk, verge and park."""
    s_lines, t_lines = _rows(street), _bands(street)
    kinds = np.array(
        [[surface_at(street, (a + b) / 2, (c + d) / 2) for c, d in pairwise(t_lines)] for a, b in pairwise(s_lines)]
    )
    for kind, texture in _LOOKS.items():
        rows, columns = np.nonzero(kinds == kind)
        if rows.size:
            _lay(stage, street, kind, Look(texture, colours[kind]), (s_lines, t_lines, rows, columns))
    _kerbs(stage, street, kinds, (s_lines, t_lines), colours["kerb"])


def _add(
    stage: Stage,
    street: Street,
    label: int,
    look: Look,
    points: NDArray[np.float64],
    faces: NDArray[np.int64],
) -> None:
    """Add vertices given as (s, t, height); textures see (s, t, height) too."""
    world = smooth(street.ground_point(points[:, 0], points[:, 1], points[:, 2]), faces)
    local = smooth(points, faces)
    actor = stage.actor(label, street.pose(0, 0), radius=0)
    stage.add_raw(world, local, actor, look)


def _lay(
    stage: Stage,
    street: Street,
    kind: str,
    look: Look,
    cells: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]],
) -> None:
    s_lines, t_lines, rows, columns = cells
    s, t = np.meshgrid(s_lines, t_lines, indexing="ij")
    height = np.zeros_like(s) if kind == "road" else np.full_like(s, KERB)
    if kind == "park":
        height = height + hills(street, s, t)
    points = np.stack([s, t, height], -1).reshape(-1, 3)
    width = len(t_lines)
    a = rows * width + columns
    b, c, d = a + 1, a + width + 1, a + width
    # t grows to the right and s ahead, so a-d-c-b is clockwise from above: wind the other way.
    quads = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    used, index = np.unique(quads, return_inverse=True)
    _add(stage, street, _LABELS[kind], look, points[used], index.reshape(-1, 3))


def _kerbs(
    stage: Stage,
    street: Street,
    kinds: NDArray[np.str_],
    lines: tuple[NDArray[np.float64], NDArray[np.float64]],
    colour: tuple[float, float, float],
) -> None:
    s_lines, t_lines = lines
    road = kinds == "road"
    points: list[list[float]] = []
    for i, j in zip(*np.nonzero(road[:, 1:] != road[:, :-1]), strict=True):
        t = t_lines[j + 1]
        ends = [s_lines[i], s_lines[i + 1]] if road[i, j] else [s_lines[i + 1], s_lines[i]]
        points += [[ends[1], t, 0], [ends[0], t, 0], [ends[0], t, KERB], [ends[1], t, KERB]]
    for i, j in zip(*np.nonzero(road[1:] != road[:-1]), strict=True):
        s = s_lines[i + 1]
        ends = [t_lines[j], t_lines[j + 1]] if road[i, j] else [t_lines[j + 1], t_lines[j]]
        points += [[s, ends[0], 0], [s, ends[1], 0], [s, ends[1], KERB], [s, ends[0], KERB]]
    if points:
        first = np.arange(0, len(points), 4)[:, None]
        quads = np.concatenate([first + np.array(corner) for corner in ([0, 1, 2], [0, 2, 3])])
        _add(stage, street, SIDEWALK, Look("kerb", colour), np.array(points), quads)
