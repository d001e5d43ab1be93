"""People, bicycles, motorcycles and their riders. Local x points ahead, z = 0 is the ground, sizes in m."""

from __future__ import annotations

import numpy as np

from preprocessing.scenes.mesh import Mesh, Pose, box, capsule, ellipsoid, join, placed, pose, ring, slab, tube
from preprocessing.scenes.stage import (
    BICYCLE,
    DYNAMIC,
    MOTORCYCLE,
    PERSON,
    RIDER,
    Actor,
    Colour,
    Look,
    Stage,
    pick,
)
from preprocessing.scenes.vehicles import DARK, HEADLIGHT, TAILLIGHT, TYRE, paint

_CLOTHES: tuple[Colour, ...] = (
    (0.03, 0.03, 0.04), (0.05, 0.06, 0.12), (0.1, 0.12, 0.25), (0.35, 0.05, 0.05), (0.6, 0.6, 0.58),
    (0.25, 0.22, 0.17), (0.08, 0.18, 0.1), (0.5, 0.35, 0.06), (0.18, 0.18, 0.19), (0.45, 0.2, 0.3),
    (0.1, 0.3, 0.4), (0.06, 0.03, 0.02),
)  # fmt: skip
_SKIN: tuple[Colour, ...] = ((0.5, 0.3, 0.21), (0.42, 0.24, 0.16), (0.25, 0.13, 0.08), (0.1, 0.05, 0.035))
_HAIR: tuple[Colour, ...] = ((0.02, 0.015, 0.012), (0.1, 0.05, 0.02), (0.3, 0.2, 0.08), (0.3, 0.3, 0.3))


def _leg(hip: list[float], knee: list[float], foot: list[float]) -> Mesh:
    toe = [foot[0] + 0.12, foot[1], foot[2] - 0.01]
    return join([capsule(hip, knee, 0.09, 0.065), capsule(knee, foot, 0.062, 0.045), capsule(foot, toe, 0.05, 0.04)])


def _arm(shoulder: list[float], elbow: list[float], hand: list[float]) -> Mesh:
    return join([capsule(shoulder, elbow, 0.062, 0.05), capsule(elbow, hand, 0.047, 0.04)])


def _head(actor: Actor, rng: np.random.Generator, at: list[float], helmet: bool) -> None:
    x, y, z = at
    neck = capsule([x - 0.02, y, z - 0.16], [x, y, z - 0.08], 0.055)
    actor.add([ellipsoid(at, [0.1, 0.085, 0.125], 2), neck], Look("skin", pick(rng, _SKIN)))
    cover = [x - 0.022, y, z + 0.03]
    if helmet:
        actor.add(ellipsoid(cover, [0.135, 0.11, 0.115], 2), Look("paint", pick(rng, _CLOTHES)))
    else:
        actor.add(ellipsoid(cover, [0.1, 0.092, 0.11], 2), Look("cloth", pick(rng, _HAIR)))


def add_person(stage: Stage, rng: np.random.Generator, where: Pose, walking: bool = True) -> None:
    """A pedestrian in mid-stride or standing, 1.1 to 1.95 m tall, sometimes with a bag."""
    tall = float(rng.uniform(1.1, 1.4) if rng.random() < 0.12 else rng.normal(1.72, 0.08)) / 1.75
    actor = stage.actor(PERSON, Pose(where.matrix * tall, where.offset), 0.35)
    swing = rng.uniform(0.12, 0.36) if walking else rng.uniform(0, 0.05)
    swing *= 1 if rng.random() < 0.5 else -1
    legs = []
    for y, way in ((0.095, 1), (-0.095, -1)):
        ahead = swing * way
        lift = 0.07 * max(-way * np.sign(swing), 0) * (abs(swing) > 0.1)
        legs.append(_leg([0, y, 0.88], [ahead * 0.6 + 0.04, y, 0.48], [ahead, y, 0.06 + lift]))
    bare = rng.random() < 0.12
    actor.add(legs, Look("skin", pick(rng, _SKIN)) if bare else Look("cloth", pick(rng, _CLOTHES)))
    top = Look("cloth", pick(rng, _CLOTHES))
    broad = rng.uniform(0.17, 0.23)
    torso = [
        ellipsoid([0, 0, 1.19], [0.125, broad, 0.33], 2),
        ellipsoid([0, 0, 0.93], [0.125, 0.17, 0.16], 2),
    ]
    if rng.random() < 0.35:  # a coat or a skirt
        torso.append(tube([0, 0, 0.55], [0, 0, 1.1], 0.21, 0.14, sides=10))
    for y, way in ((broad + 0.015, -1), (-broad - 0.015, 1)):
        ahead = swing * way * 0.8
        torso.append(
            _arm(
                [0, y * 0.86, 1.38],
                [ahead * 0.35 - 0.03, y * 1.06, 1.13],
                [ahead * 0.9 + 0.06, y * 1.02, 0.9],
            )
        )
    actor.add(torso, top)
    _head(actor, rng, [0.02, 0, 1.63], helmet=False)
    if rng.random() < 0.35:
        bag = (
            box([-0.32, -0.16, 1.0], [-0.1, 0.16, 1.42])
            if rng.random() < 0.5
            else slab([0.3, 0.12, 0.3], [0.05, broad + 0.1, 0.7])
        )
        actor.add(bag, Look("cloth", pick(rng, _CLOTHES)))


def add_pram(stage: Stage, rng: np.random.Generator, where: Pose) -> None:
    """A pram (class dynamic: void)."""
    actor = stage.actor(DYNAMIC, where, 0.5)
    actor.add(ellipsoid([0, 0, 0.75], [0.42, 0.24, 0.28], 2), Look("cloth", pick(rng, _CLOTHES)))
    wheels = [ring([x, y, 0.15], 0.13, 0.03, 12) for x in (-0.35, 0.35) for y in (-0.22, 0.22)]
    bars = [tube([-0.4, y, 0.85], [-0.75, y, 1.05], 0.015) for y in (-0.2, 0.2)]
    actor.add([*wheels, *bars, tube([-0.35, 0, 0.15], [0.3, 0, 0.55], 0.02)], DARK)


def add_bicycle(stage: Stage, rng: np.random.Generator, where: Pose) -> None:
    """A bicycle, upright."""
    actor = stage.actor(BICYCLE, where, 0.9)
    wheels = [ring([x, 0, 0.34], 0.325, 0.024) for x in (-0.52, 0.53)]
    actor.add(wheels, TYRE)
    tip, seat, crank = [0.36, 0, 0.82], [-0.22, 0, 0.86], [-0.06, 0, 0.3]
    bars = [
        (tip, [0.53, 0, 0.34]),
        (tip, crank),
        (crank, seat),
        ([-0.18, 0, 0.74], tip),
        (crank, [-0.52, 0, 0.34]),
    ]
    bars += [([-0.19, 0, 0.76], [-0.52, 0, 0.34]), (tip, [0.33, 0, 1.02])]
    actor.add([tube(a, b, 0.021, sides=6) for a, b in bars], paint(rng))
    dark = [
        tube([0.33, -0.28, 1.02], [0.33, 0.28, 1.02], 0.018, sides=6),
        ellipsoid([-0.23, 0, 0.92], [0.14, 0.08, 0.04]),
    ]
    dark += [
        tube([-0.06, -0.1, 0.3], [-0.06, 0.1, 0.3], 0.09, sides=10),
        box([-0.75, -0.07, 0.7], [-0.3, 0.07, 0.73]),
    ]
    guards = [slab([0.36, 0.05, 0.02], [x, 0, 0.69]) for x in (-0.52, 0.53)]
    actor.add([*dark, *guards], DARK)
    if rng.random() < 0.4:
        actor.add(box([0.42, -0.17, 0.78], [0.7, 0.17, 1.0]), Look("wood", (0.25, 0.15, 0.07)))


def add_motorcycle(stage: Stage, rng: np.random.Generator, where: Pose) -> None:
    """A motorcycle or scooter, upright."""
    actor = stage.actor(MOTORCYCLE, where, 1.05)
    wheels = [ring([x, 0, 0.31], 0.235, 0.075, 18) for x in (-0.68, 0.7)]
    actor.add(wheels, TYRE)
    discs = [tube([x, -0.03, 0.31], [x, 0.03, 0.31], 0.17, sides=12) for x in (-0.68, 0.7)]
    pipes = [
        tube([-0.1, -0.17, 0.33], [-0.75, -0.2, 0.42], 0.05),
        ellipsoid([0.02, 0, 0.45], [0.28, 0.18, 0.2], 2),
    ]
    actor.add([*discs, *pipes, tube([0.7, 0, 0.31], [0.42, 0, 0.95], 0.045)], Look("metal", (0.3, 0.3, 0.31)))
    look = paint(rng)
    shell = [
        ellipsoid([0.2, 0, 0.77], [0.33, 0.17, 0.16], 2),
        ellipsoid([-0.62, 0, 0.72], [0.32, 0.13, 0.1], 2),
    ]
    shell += [ellipsoid([0.5, 0, 0.85], [0.17, 0.2, 0.25], 2)]
    actor.add(shell, look)
    seat = [
        ellipsoid([-0.33, 0, 0.79], [0.38, 0.15, 0.075], 2),
        tube([0.42, -0.36, 1.03], [0.42, 0.36, 1.03], 0.022),
    ]
    if rng.random() < 0.4:
        seat.append(box([-0.98, -0.2, 0.8], [-0.6, 0.2, 1.12], 0.03))
    actor.add(seat, DARK)
    actor.add(ellipsoid([0.63, 0, 0.88], [0.06, 0.09, 0.09]), HEADLIGHT)
    actor.add(slab([0.05, 0.16, 0.08], [-0.93, 0, 0.72]), TAILLIGHT)


def add_rider(stage: Stage, rng: np.random.Generator, where: Pose, motorcycle: bool) -> None:
    """A person riding; the machine under them is an instance of its own."""
    (add_motorcycle if motorcycle else add_bicycle)(stage, rng, where)
    actor = stage.actor(RIDER, where, 0.5)
    seat, hip = (-0.3, 0.93) if motorcycle else (-0.22, 1.0)
    hand = [0.4, 1.06] if motorcycle else [0.31, 1.05]
    foot = [[0.0, 0.36], [0.0, 0.36]] if motorcycle else [[0.03, 0.15], [-0.1, 0.42]]
    legs = []
    for y, (fx, fz) in zip((0.13, -0.13), foot, strict=True):
        knee = [fx + 0.25, y * 1.3, (hip + fz) / 2 + 0.16]
        legs.append(_leg([seat, y * 0.7, hip], knee, [fx, y * 1.2, fz]))
    actor.add(legs, Look("cloth", pick(rng, _CLOTHES)))
    lean = rng.uniform(0.1, 0.3)
    shoulder = [seat + lean, 0.0, hip + 0.5]
    chest = placed(ellipsoid([0, 0, 0], [0.14, 0.2, 0.34], 2), pose(seat + lean * 0.5, 0, hip + 0.24, 0, -lean * 1.3))
    arms = []
    for y in (0.2, -0.2):
        elbow = [(shoulder[0] + hand[0]) / 2 - 0.02, y * 1.4, (shoulder[2] + hand[1]) / 2 - 0.08]
        arms.append(_arm([shoulder[0], y, shoulder[2] - 0.05], elbow, [hand[0], y * 1.2, hand[1]]))
    actor.add([chest, *arms], Look("cloth", pick(rng, _CLOTHES)))
    _head(actor, rng, [shoulder[0] + 0.06, 0, shoulder[2] + 0.23], helmet=motorcycle or rng.random() < 0.5)
