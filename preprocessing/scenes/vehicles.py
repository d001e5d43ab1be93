"""Cars, vans, trucks, buses and trams. Local x points ahead, z = 0 is the ground, sizes in metres."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocessing.scenes.lamps import headlights
from preprocessing.scenes.mesh import Mesh, Pose, box, join, loft, moved, slab, tube
from preprocessing.scenes.stage import BUS, CAR, TRAIN, TRUCK, Actor, Colour, Look, Stage, pick, tinted

TYRE = Look("rubber", (0.018, 0.018, 0.02))
DARK = Look("plain", (0.03, 0.03, 0.032))
HUB = Look("metal", (0.35, 0.36, 0.38))
HEADLIGHT = Look("glow", (0.9, 0.9, 0.85), (0.35,))
HEADLIGHT_OFF = Look("glow", (0.9, 0.9, 0.85), (0.35, 1.0))
TAILLIGHT = Look("glow", (0.45, 0.02, 0.02), (0.15,))
TAILLIGHT_OFF = Look("glow", (0.45, 0.02, 0.02), (0.15, 1.0))
BRAKELIGHT = Look("glow", (0.9, 0.05, 0.04), (0.6,))
PLATE = Look("plain", (0.75, 0.75, 0.7))
GLASS = Look("glass", (0.03, 0.04, 0.05))
PAINTS: tuple[Colour, ...] = (
    (0.55, 0.56, 0.58), (0.3, 0.31, 0.33), (0.8, 0.8, 0.8), (0.03, 0.03, 0.035), (0.09, 0.1, 0.12),
    (0.4, 0.03, 0.03), (0.03, 0.06, 0.22), (0.06, 0.14, 0.3), (0.28, 0.24, 0.17), (0.05, 0.16, 0.09),
    (0.5, 0.2, 0.04), (0.6, 0.5, 0.1),
)  # fmt: skip
_BUSES: tuple[Colour, ...] = (
    (0.6, 0.45, 0.06), (0.5, 0.04, 0.05), (0.7, 0.7, 0.7), (0.08, 0.25, 0.5), (0.1, 0.35, 0.2),
)  # fmt: skip
_TRAMS: tuple[Colour, ...] = ((0.55, 0.06, 0.06), (0.65, 0.5, 0.1), (0.08, 0.3, 0.22), (0.65, 0.66, 0.68))
_LOADS: tuple[Colour, ...] = ((0.7, 0.7, 0.7), (0.1, 0.2, 0.4), (0.5, 0.12, 0.08), (0.2, 0.35, 0.2))


def paint(rng: np.random.Generator) -> Look:
    """A car colour, most often grey, white or black."""
    weights = np.array([4, 4, 4, 4, 2, 1.5, 1.5, 1.5, 1, 0.6, 0.5, 0.4])
    colour = PAINTS[int(rng.choice(len(PAINTS), p=weights / weights.sum()))]
    return Look("paint", tinted(colour, float(rng.uniform(0.8, 1.15))))


def _wheel(x: float, y: float, radius: float, width: float) -> tuple[Mesh, Mesh]:
    out = np.sign(y) * width / 2
    tyre = tube([x, y - out, radius], [x, y + out, radius], radius, sides=14)
    rim = tube([x, y, radius], [x, y + out * 1.06, radius], radius * 0.62, sides=10)
    return tyre, rim


def add_wheels(actor: Actor, axles: list[float], half_width: float, radius: float, width: float = 0.22) -> None:
    """Wheels on both sides at every axle position x, with dark arches behind them."""
    pairs = [_wheel(x, side * (half_width - width / 2 + 0.01), radius, width) for x in axles for side in (-1, 1)]
    actor.add([p[0] for p in pairs], TYRE)
    actor.add([p[1] for p in pairs], HUB)
    reach = half_width + 0.004
    actor.add([tube([x, -reach, radius], [x, reach, radius], radius * 1.17, sides=16) for x in axles], DARK)


def _section(x: float, half: float, low: float, high: float, corner: float) -> NDArray[np.float64]:
    """A rounded rectangle in the plane x, anticlockwise seen from +x."""
    c = min(corner, half * 0.8, (high - low) * 0.45)
    yz = [
        (-half + c * 0.4, low),
        (half - c * 0.4, low),
        (half, low + c * 0.6),
        (half, high - c),
        (half - c, high),
    ]
    yz += [(-half + c, high), (-half, high - c), (-half, low + c * 0.6)]
    return np.array([(x, y, z) for y, z in yz])


def _cabin_section(x: float, half_low: float, low: float, high: float) -> NDArray[np.float64]:
    lean = (high - low) * 0.28
    top = half_low - lean
    soft = min(0.07, (high - low) * 0.4)
    yz = [(-half_low, low), (half_low, low), (top + 0.01, high - soft), (top - 0.1, high), (-top + 0.1, high)]
    yz += [(-top - 0.01, high - soft)]
    return np.array([(x, y, z) for y, z in yz])


# length, width, height, belt, bonnet height, then the cabin's rear foot, rear roof, front roof and
# windscreen foot as shares of the length from the rear end.
CARS: dict[str, tuple[float, ...]] = {
    "hatchback": (4.1, 1.76, 1.47, 0.92, 0.82, 0.01, 0.12, 0.56, 0.74),
    "saloon": (4.7, 1.82, 1.45, 0.93, 0.82, 0.12, 0.3, 0.56, 0.72),
    "estate": (4.75, 1.82, 1.5, 0.93, 0.83, 0.01, 0.08, 0.57, 0.72),
    "suv": (4.5, 1.88, 1.7, 1.06, 0.98, 0.01, 0.1, 0.58, 0.73),
    "small": (3.6, 1.65, 1.5, 0.92, 0.84, 0.01, 0.09, 0.6, 0.8),
    "van": (5.0, 1.95, 1.98, 1.12, 1.05, 0.0, 0.02, 0.72, 0.88),
}


def add_car(stage: Stage, rng: np.random.Generator, where: Pose, moving: bool) -> None:
    """A car of a random kind and colour."""
    kind = str(rng.choice(list(CARS), p=[0.27, 0.22, 0.16, 0.15, 0.1, 0.1]))
    length, width, height, belt, bonnet, *cabin = CARS[kind]
    stretch = rng.uniform(0.95, 1.05)
    length, half = length * stretch, width / 2
    actor = stage.actor(CAR, where, length / 2)
    look = paint(rng)
    rear = -length / 2
    foot = [rear + share * length for share in cabin]
    body = [(0.0, 0.86, 0.34, belt - 0.2), (0.02, 0.95, 0.28, belt - 0.06), (0.12, 1.0, 0.2, belt)]
    body += [
        (cabin[3] - 0.02, 1.0, 0.2, belt),
        (0.93, 0.97, 0.22, bonnet - 0.06),
        (0.985, 0.9, 0.27, bonnet - 0.16),
    ]
    body += [(1.0, 0.78, 0.36, bonnet - 0.32)]
    actor.add(loft([_section(rear + p * length, half * w, low, high, 0.12) for p, w, low, high in body]), look)
    sink = belt - 0.05
    heights = [belt - 0.03, height, height + 0.01, height - 0.03, belt - 0.03]
    stations = [foot[0], foot[1], (foot[1] + foot[2]) / 2, foot[2], foot[3]]
    roof = [_cabin_section(x, half * 0.95, sink, h) for x, h in zip(stations, heights, strict=True)]
    pillars = (belt, height, foot[1], foot[2], half, 1.0 if kind == "van" else 0.0)
    actor.add(loft(roof), Look("cabin", look.colour, pillars))
    radius = 0.36 if kind in ("suv", "van") else 0.31
    add_wheels(actor, [rear + 0.19 * length, rear + 0.82 * length], half, radius)
    _car_details(actor, rng, (length, half, belt, bonnet), moving)


def _car_details(
    actor: Actor, rng: np.random.Generator, shape: tuple[float, float, float, float], moving: bool
) -> None:
    length, half, belt, bonnet = shape
    front, rear = length / 2, -length / 2
    lamp, tail = bonnet - 0.22, belt - 0.2
    sides = (-1, 1)
    actor.add(
        [slab([0.16, 0.32, 0.13], [front - 0.09, y * (half - 0.27), lamp]) for y in sides],
        HEADLIGHT if moving else HEADLIGHT_OFF,
    )
    braking = moving and rng.random() < 0.35
    tails = [slab([0.14, 0.2, 0.2], [rear + 0.055, y * (half - 0.2), tail]) for y in sides]
    actor.add(tails, BRAKELIGHT if braking else TAILLIGHT if moving else TAILLIGHT_OFF)
    if moving:
        actor.stage.lamps.append(headlights(actor.where, front + 0.2, lamp))
    actor.add([slab([0.05, 0.52, 0.11], [rear - 0.005, 0, 0.62]), slab([0.05, 0.52, 0.11], [front, 0, 0.42])], PLATE)
    grille = [slab([0.05, half * 1.0, 0.12], [front - 0.012, 0, 0.58])]
    grille += [slab([0.1, half * 1.75, 0.12], [e, 0, 0.33]) for e in (rear + 0.02, front - 0.03)]
    actor.add(grille, DARK)
    actor.add([slab([0.08, 0.17, 0.12], [length * 0.17, y * (half + 0.07), belt + 0.03]) for y in sides], DARK)


def add_truck(stage: Stage, rng: np.random.Generator, where: Pose) -> None:
    """A lorry: cab, then a box, a tarpaulin or an open bed."""
    length, half, top = rng.uniform(6.5, 10.5), 1.22, rng.uniform(3.0, 3.7)
    actor = stage.actor(TRUCK, where, length / 2)
    front, rear = length / 2, -length / 2
    cab_top = rng.uniform(2.5, 3.0)
    look = paint(rng)
    cab = [(front - 1.95, 0.98, 0.5, cab_top - 0.03), (front - 1.0, 1.0, 0.45, cab_top)]
    cab += [(front - 0.35, 1.0, 0.45, cab_top - 0.1), (front, 0.94, 0.45, 1.55)]
    actor.add(loft([_section(x, half * w, low, high, 0.14) for x, w, low, high in cab]), look)
    pane = loft(
        [_section(x, half * 0.86, 1.55, h, 0.06) for x, h in ((front - 0.6, cab_top - 0.25), (front + 0.01, 1.6))]
    )
    side = box([front - 1.35, -half - 0.012, 1.5], [front - 0.55, half + 0.012, cab_top - 0.35])
    actor.add([pane, side], GLASS)
    actor.add(box([rear, -half * 0.8, 0.55], [front - 1.0, half * 0.8, 0.95]), DARK)
    cargo = str(rng.choice(["box", "tarpaulin", "bed"], p=[0.5, 0.3, 0.2]))
    tint = pick(rng, _LOADS)
    high = 1.75 if cargo == "bed" else top
    load = Look("tarpaulin" if cargo == "tarpaulin" else "panel", tint)
    actor.add(box([rear, -half, 0.95], [front - 2.15, half, high], 0.02), load)
    actor.add([slab([0.06, 0.3, 0.14], [rear - 0.01, y * (half - 0.25), 0.8]) for y in (-1, 1)], TAILLIGHT)
    actor.add([slab([0.08, 0.34, 0.2], [front - 0.01, y * (half - 0.3), 0.75]) for y in (-1, 1)], HEADLIGHT)
    actor.add(slab([0.03, 0.5, 0.11], [rear - 0.01, 0, 0.75]), PLATE)
    add_wheels(actor, [rear + 1.1, rear + 2.3, front - 1.2], half, 0.48, 0.3)
    stage.lamps.append(headlights(where, front + 0.2, 0.75))


def add_bus(stage: Stage, rng: np.random.Generator, where: Pose) -> None:
    """A city bus with a window band and a destination sign."""
    length, half, top = rng.uniform(9.5, 12.5), 1.27, rng.uniform(2.95, 3.2)
    actor = stage.actor(BUS, where, length / 2)
    colour = pick(rng, _BUSES)
    _coach(actor, (length, half, top, 0.35), Look("coach", colour, (1.0, 2.35, 1.5, half, 1.1)))
    ends = [-length / 2, length / 2]
    actor.add([slab([0.04, 1.5, 0.26], [x, 0, top - 0.24]) for x in ends], Look("display", (0.9, 0.55, 0.05)))
    actor.add([slab([0.06, 0.16, 0.4], [ends[0], y * (half - 0.2), 0.9]) for y in (-1, 1)], TAILLIGHT)
    actor.add([slab([0.06, 0.36, 0.2], [ends[1], y * (half - 0.35), 0.7]) for y in (-1, 1)], HEADLIGHT)
    actor.add([slab([0.05, 0.5, 0.11], [x, 0, 0.55]) for x in ends], PLATE)
    add_wheels(actor, [ends[0] + 2.6, ends[1] - 2.5], half, 0.48, 0.3)
    stage.lamps.append(headlights(where, ends[1] + 0.2, 0.7))


def _coach(actor: Actor, shape: tuple[float, float, float, float], look: Look) -> None:
    length, half, top, low = shape
    e = length / 2
    rounds = [(-e, 0.95, 0.05), (-e + 0.18, 1.0, 0.0), (e - 0.18, 1.0, 0.0), (e, 0.95, 0.06)]
    actor.add(loft([_section(x, half * w, low, top - d, 0.12) for x, w, d in rounds]), look)


def add_tram(stage: Stage, rng: np.random.Generator, where: Pose) -> None:
    """A tram of two or three cars; its class is train."""
    cars, length, half, top = int(rng.integers(2, 4)), rng.uniform(7.5, 9.5), 1.2, 3.35
    actor = stage.actor(TRAIN, where, cars * length / 2)
    colour = pick(rng, _TRAMS)
    look = Look("coach", colour, (1.15, 2.5, 1.25, half, 0.9))
    total = cars * length + (cars - 1) * 0.6
    first = -total / 2 + length / 2
    for k in range(cars):
        middle = first + k * (length + 0.6)
        rounds = [(-0.5, 0.94, 0.15), (-0.46, 1.0, 0.0), (0.46, 1.0, 0.0), (0.5, 0.94, 0.15)]
        sections = [_section(middle + p * length, half * w, 0.28, top - d, 0.16) for p, w, d in rounds]
        actor.add(loft(sections), look)
        actor.add(box([middle - 1.6, -0.9, top - 0.02], [middle + 1.6, 0.9, top + 0.25], 0.1), DARK)
        bogies = [box([middle + x - 0.9, -1.0, 0.06], [middle + x + 0.9, 1.0, 0.45]) for x in (-length / 3, length / 3)]
        actor.add(bogies, DARK)
    gaps = [first + (k + 0.5) * (length + 0.6) for k in range(cars - 1)]
    joints = [box([x - 0.4, -1.05, 0.4], [x + 0.4, 1.05, top - 0.2]) for x in gaps]
    actor.add(joints, Look("tarpaulin", (0.05, 0.05, 0.055)))
    ends = [-total / 2, total / 2]
    actor.add([slab([0.05, 1.2, 0.24], [x, 0, top - 0.32]) for x in ends], Look("display", (0.9, 0.6, 0.1)))
    lamps = [slab([0.06, 0.25, 0.16], [x, y * 0.75, 0.85]) for x in ends for y in (-1, 1)]
    actor.add(lamps, HEADLIGHT)


def add_bonnet(stage: Stage, rng: np.random.Generator, where: Pose, label: int) -> None:
    """The bonnet of the recording car, below the camera; `where` is the camera's own place on the road."""
    actor = stage.actor(label, where, 0)
    sections = [
        _section(x, half, 0.3, z, 0.2)
        for x, half, z in ((0.9, 0.95, 0.92), (1.5, 0.93, 0.9), (2.0, 0.85, 0.8), (2.15, 0.7, 0.6))
    ]
    actor.add(moved(join([loft(sections)]), 0, 0, rng.uniform(-0.06, 0.02)), paint(rng))
