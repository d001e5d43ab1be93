"""The plan of a street: its centre line, its bands, its junction and what lines it, as numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from preprocessing.scenes.mesh import Pose, pose
from preprocessing.scenes.street_types import STREET_TYPES, StreetType

Station = float | NDArray[np.float64]
NEAR, FAR = -14.0, 168.0
KERB = 0.13
_STEP = 0.5


@dataclass(frozen=True)
class Plot:
    """A stretch [start, end] of one side (-1 left, +1 right) behind the pavement; kind: what stands there."""

    side: int
    start: float
    end: float
    kind: str  # houses | park | wall | fence | open | works | rail | barrier


@dataclass(frozen=True)
class Side:
    """One side of the street, widths in metres counted outwards from the outermost lane."""

    parking: float
    verge: float
    walk: float


@dataclass(frozen=True)
class Street:
    """A street in (s, t) coordinates; see `ground_point` for the way to world metres."""

    heading: NDArray[np.float64]  # per half metre from NEAR, radians from world y, clockwise
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    z: NDArray[np.float64]
    lane_width: float
    lanes_left: int
    lanes_right: int
    left: Side
    right: Side
    junction: tuple[float, float] | None
    plots: tuple[Plot, ...]
    rails: bool
    one_way: bool
    theme: str  # a key of STREET_TYPES
    seed: int
    lamps: float = 0.0  # strength of lamps and lit windows, 0 by day

    @property
    def kind(self) -> StreetType:
        """What makes its type."""
        return STREET_TYPES[self.theme]

    def side(self, side: int) -> Side:
        """The left (-1) or the right (+1) side."""
        return self.left if side < 0 else self.right

    def lane_edge(self, side: int) -> float:
        """|t| where the lanes of a side end and its parking bay begins."""
        return self.lane_width * (self.lanes_left if side < 0 else self.lanes_right)

    def kerb(self, side: int) -> float:
        """|t| of the kerb."""
        return self.lane_edge(side) + self.side(side).parking

    def frontage(self, side: int) -> float:
        """|t| of the line where buildings, walls and parks begin."""
        return self.kerb(side) + self.side(side).verge + self.side(side).walk

    def lanes(self) -> list[tuple[float, int]]:
        """(t of the middle, +1 away from the camera or -1 towards it) of every lane; traffic keeps right."""
        width = self.lane_width
        away = [(width * (k + 0.5), 1) for k in range(self.lanes_right)]
        towards = [(-width * (k + 0.5), 1 if self.one_way else -1) for k in range(self.lanes_left)]
        return away + towards

    def in_junction(self, s: float, margin: float = 0.0) -> bool:
        """Whether s lies in the crossing street, widened by a margin."""
        return self.junction is not None and self.junction[0] - margin < s < self.junction[1] + margin

    def heading_at(self, s: Station) -> NDArray[np.float64]:
        """Clockwise angle of the centre line from world y, radians."""
        return np.asarray(np.interp(s, _stations(), self.heading))

    def ground_point(self, s: Station, t: Station, level: Station = 0.0) -> NDArray[np.float64]:
        """World position [...,3] at (s, t), `level` metres above the carriageway."""
        station, heading = _stations(), self.heading_at(s)
        x = np.interp(s, station, self.x) + np.asarray(t) * np.cos(heading)
        y = np.interp(s, station, self.y) - np.asarray(t) * np.sin(heading)
        z = np.interp(s, station, self.z) + np.asarray(level)
        return np.stack(np.broadcast_arrays(x, y, z), -1)

    def pose(self, s: float, t: float, level: float = 0.0, turn: float = 0.0) -> Pose:
        """Standing at (s, t), facing along the street, turned anticlockwise by `turn`, leaning with it."""
        x, y, z = self.ground_point(s, t, level)
        rise = np.interp([s - 1, s + 1], _stations(), self.z)
        grade = float(np.arctan2(rise[1] - rise[0], 2.0)) * np.cos(turn)
        return pose(x, y, z, np.pi / 2 - float(self.heading_at(s)) + turn, grade)

    def upright(self, s: float, t: float, level: float = 0.0, turn: float = 0.0, scale: float = 1.0) -> Pose:
        """As `pose`, but plumb: for what stands rather than rolls."""
        x, y, z = self.ground_point(s, t, level)
        return pose(x, y, z, np.pi / 2 - float(self.heading_at(s)) + turn, 0.0, scale)


@cache
def _stations() -> NDArray[np.float64]:
    return np.arange(NEAR, FAR + _STEP / 2, _STEP)


def _centre_line(rng: np.random.Generator) -> tuple[NDArray[np.float64], ...]:
    s = _stations()
    straight = rng.random() < 0.3
    bends = np.zeros(2) if straight else rng.uniform(-1, 1, 2) / rng.uniform(130, 420, 2)
    change = rng.uniform(30, 90)
    bend = np.where(s < change, bends[0], bends[1])
    bend = np.convolve(np.pad(bend, 20, mode="edge"), np.ones(41) / 41, mode="valid")
    origin = int(-NEAR / _STEP)
    heading = np.cumsum(bend) * _STEP
    heading -= heading[origin]
    x, y = np.cumsum(np.sin(heading)) * _STEP, np.cumsum(np.cos(heading)) * _STEP
    grade = rng.normal(0, 0.012) + rng.normal(0, 0.00025) * s
    grade += rng.uniform(0, 0.02) * np.sin(s / rng.uniform(25, 60) + rng.uniform(0, 6))
    z = np.cumsum(np.clip(grade, -0.06, 0.06)) * _STEP
    return heading, x - x[origin], y - y[origin], z - z[origin]


def _plots(rng: np.random.Generator, side: int, junction: tuple[float, float] | None, theme: str) -> list[Plot]:
    kinds = [kind for kind, _ in STREET_TYPES[theme].plots]
    odds = [share for _, share in STREET_TYPES[theme].plots]
    plots, s = [], NEAR
    while s < FAR - 8:
        end = min(s + rng.uniform(18, 55), FAR)
        if junction is not None and s < junction[0] - 3 < end + 8:
            end = junction[0] - 3
        kind = str(rng.choice(kinds, p=odds))
        plots.append(Plot(side, s, end, kind))
        s = end
        if junction is not None and abs(s - (junction[0] - 3)) < 0.01:
            s = junction[1] + 3
    return plots


def _side(rng: np.random.Generator, theme: str) -> Side:
    kind = STREET_TYPES[theme]
    parking = 2.2 if rng.random() < 0.55 and kind.parking else 0.0
    if kind.walk is not None:
        wide = kind.verge or (0.0, 1.0)
        return Side(parking, float(rng.uniform(*wide)), float(rng.uniform(*kind.walk)))
    verge = float(rng.uniform(0.8, 2.4)) if rng.random() < (0.25 if theme == "city" else 0.5) else 0.0
    return Side(parking, verge, float(rng.uniform(1.8, 4.2)))


def plan_street(rng: np.random.Generator, *, rails: bool, theme: str, wanted: frozenset[str]) -> Street:
    """A random street; `rails` lays tram tracks in the inner lanes, `theme` is a key of STREET_TYPES.

    A "wall" or "fence" in `wanted` puts one on a plot that can be seen.
    """
    heading, x, y, z = _centre_line(rng)
    junction = None
    kind = STREET_TYPES[theme]
    if rng.random() < 0.5 and kind.junctions:
        start = float(rng.uniform(16, 62))
        junction = (start, start + float(rng.uniform(7, 13)))
    many = rng.random() < (0.45 if theme == "avenue" else 0.15) or rails
    lanes_right = 2 if many else 1
    lanes_left = 2 if (many and rng.random() < 0.6) or rails else 1
    if kind.lanes is not None:
        lanes_right, lanes_left = kind.lanes
    plots = _plots(rng, -1, junction, theme) + _plots(rng, 1, junction, theme)
    for called in sorted(wanted & {"wall", "fence"}):
        seen = [k for k, plot in enumerate(plots) if plot.start < 40 and plot.end > 14]
        k = seen[int(rng.integers(len(seen)))]
        plots[k] = replace(plots[k], kind=called)
    return Street(
        heading=heading,
        x=x,
        y=y,
        z=z,
        lane_width=float(rng.uniform(2.9, 3.6)),
        lanes_left=lanes_left,
        lanes_right=lanes_right,
        left=_side(rng, theme),
        right=_side(rng, theme),
        junction=junction,
        plots=tuple(plots),
        rails=rails,
        one_way=bool(rng.random() < 0.08 and not rails),
        theme=theme,
        seed=int(rng.integers(1 << 20)),
    )
