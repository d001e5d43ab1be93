"""Rare things on the road. Classes are Cityscapes' own: what has none is dynamic or static, both void among the 19."""

from __future__ import annotations

import numpy as np

from preprocessing.scenes import furniture, people, vehicles
from preprocessing.scenes.layout import KERB
from preprocessing.scenes.mesh import Mesh, Pose, box, capsule, ellipsoid, slab, tube
from preprocessing.scenes.populate import Plan
from preprocessing.scenes.stage import DYNAMIC, GUARD_RAIL, STATIC, Colour, Look, Stage, pick

_BOXES: tuple[Colour, ...] = (
    (0.4, 0.28, 0.15),
    (0.3, 0.2, 0.1),
    (0.5, 0.5, 0.48),
    (0.1, 0.2, 0.35),
    (0.35, 0.08, 0.06),
)
_COATS: tuple[Colour, ...] = ((0.25, 0.15, 0.07), (0.05, 0.04, 0.035), (0.5, 0.45, 0.38), (0.3, 0.2, 0.12))


def add_event(plan: Plan, name: str) -> None:
    """Let it happen 8 to 35 m ahead."""
    _EVENTS[name](plan)


def _stepping_out(plan: Plan) -> None:
    """People step onto the road from between parked cars, one to three places of it (person)."""
    street, rng = plan.street, plan.rng
    places = int(rng.integers(1, 4))
    for _ in range(12 * places):
        side, s = (1 if plan.chance(0.7) else -1), float(rng.uniform(8, 24))
        bay = street.side(side).parking
        step = side * (street.lane_edge(side) - float(rng.uniform(-0.5, 0.9)) - (0.0 if bay else 2.0))
        if street.in_junction(s, 10) or not plan.claim(s, step, 0.9, 0.7):
            continue
        t, facing = side * (street.kerb(side) - (1.05 if bay else 0.95)), 0.0 if side > 0 else np.pi
        for ahead in (-3.4, 3.4):
            if plan.claim(s + ahead, t, 5.6, 2.0):
                vehicles.add_car(plan.stage, rng, street.pose(s + ahead, t, 0.0, facing), moving=False)
        turn = side * np.pi / 2 + rng.normal(0, 0.2)  # towards the middle of the road
        people.add_person(plan.stage, rng, street.upright(s, step, 0.0, turn))
        places -= 1
        if not places:
            return


def _fallen_load(plan: Plan) -> None:
    """Boxes, sacks and planks on a lane (dynamic: void)."""
    street, rng = plan.street, plan.rng
    lanes = [t for t, way in street.lanes() if way > 0]
    for _ in range(20):  # somewhere with a gap in the traffic
        s, t = float(rng.uniform(8, 26)), lanes[int(rng.integers(len(lanes)))]
        if plan.claim(s, t, 3.0, 1.6):
            break
    for _ in range(int(rng.integers(3, 8))):
        at_s, at_t = s + rng.uniform(-1.5, 1.5), t + rng.uniform(-0.8, 0.8)
        where = street.pose(at_s, at_t, 0.0, float(rng.uniform(0, 6.3)))
        actor, kind = plan.stage.actor(DYNAMIC, where, 0.5), int(rng.integers(3))
        if kind == 0:
            half = rng.uniform(0.18, 0.5, 3)
            actor.add(box([-half[0], -half[1], 0], [half[0], half[1], 1.3 * half[2]]), Look("panel", pick(rng, _BOXES)))
        elif kind == 1:
            actor.add(ellipsoid([0, 0, 0.14], [0.45, 0.25, 0.16], 2), Look("cloth", pick(rng, _BOXES)))
        else:
            planks = [slab([2.2, 0.15, 0.05], [0.1 * k, 0.18 * k, 0.03 + 0.05 * k]) for k in range(3)]
            actor.add(planks, Look("wood", (0.3, 0.2, 0.1)))


def add_animal(stage: Stage, rng: np.random.Generator, where: Pose, tall: float) -> None:
    """A four-legged animal, `tall` metres at the shoulder (dynamic: void)."""
    actor, k = stage.actor(DYNAMIC, where, tall), tall
    parts: list[Mesh] = [ellipsoid([0, 0, 0.78 * k], [0.58 * k, 0.2 * k, 0.24 * k], 2)]
    for x in (-0.42, 0.4):
        for y in (-0.1, 0.1):
            lift = float(rng.uniform(-0.12, 0.12))
            parts.append(capsule([x * k, y * k, 0.7 * k], [(x + lift) * k, y * k, 0.04 * k], 0.065 * k, 0.04 * k))
    parts.append(capsule([0.45 * k, 0, 0.9 * k], [0.72 * k, 0, 1.2 * k], 0.12 * k, 0.09 * k))
    parts.append(ellipsoid([0.82 * k, 0, 1.24 * k], [0.2 * k, 0.09 * k, 0.1 * k], 2))
    parts += [
        tube([0.72 * k, y * k, 1.28 * k], [0.68 * k, 1.6 * y * k, 1.44 * k], 0.035 * k, 0.01) for y in (-0.07, 0.07)
    ]
    parts.append(capsule([-0.55 * k, 0, 0.85 * k], [-0.72 * k, 0, 0.6 * k], 0.04 * k, 0.025 * k))
    actor.add(parts, Look("cloth", pick(rng, _COATS)))


def _animals(plan: Plan) -> None:
    """A dog, a deer or cattle on the road or beside it."""
    street, rng = plan.street, plan.rng
    tall = float(rng.choice([0.5, 0.95, 1.35]))
    for _ in range(int(rng.integers(1, 4))):
        s, t = float(rng.uniform(8, 30)), float(rng.uniform(-street.kerb(-1), street.kerb(1)))
        if plan.claim(s, t, 2.2 * tall, 1.2 * tall):
            add_animal(plan.stage, rng, street.upright(s, t, 0.0, float(rng.uniform(0, 6.3))), tall)


def _boards(plan: Plan, s: float, t: float, turn: float) -> None:
    """A red and white road-works board on feet (static: void)."""
    actor = plan.stage.actor(STATIC, plan.street.upright(s, t, 0.0, turn), 0.8)
    for k in range(6):
        colour = (0.6, 0.03, 0.03) if k % 2 else (0.75, 0.75, 0.73)
        actor.add(slab([0.04, 0.27, 0.25], [0, -0.68 + 0.27 * k, 0.95]), Look("plain", colour))
    feet = [slab([0.5, 0.2, 0.1], [0, y, 0.05]) for y in (-0.55, 0.55)]
    actor.add([*feet, *(tube([0, y, 0.1], [0, y, 1.1], 0.025) for y in (-0.55, 0.55))], Look("rubber", (0.1, 0.1, 0.1)))


def _cone(plan: Plan, s: float, t: float) -> None:
    """A traffic cone (static: void)."""
    actor = plan.stage.actor(STATIC, plan.street.upright(s, t, 0.0), 0.25)
    actor.add(
        [slab([0.38, 0.38, 0.04], [0, 0, 0.02]), tube([0, 0, 0.03], [0, 0, 0.75], 0.15, 0.03)],
        Look("plain", (0.75, 0.16, 0.02)),
    )
    actor.add(
        [tube([0, 0, z], [0, 0, z + 0.12], 0.19 - 0.16 * z, 0.165 - 0.16 * z) for z in (0.3, 0.5)],
        Look("plain", (0.75, 0.75, 0.73)),
    )


def _roadworks(plan: Plan) -> None:
    """A site on part of a lane: boards, cones, a fence, a spoil heap, workers, a sign (void; fence, person, sign)."""
    street, rng = plan.street, plan.rng
    side = 1 if plan.chance(0.75) else -1
    start, length = float(rng.uniform(9, 16)), float(rng.uniform(9, 16))
    inner, outer = street.kerb(side) - float(rng.uniform(1.6, 2.3)), street.kerb(side)
    gone = {
        p.seed for p in plan.stage.placed if _on_site(plan, (p.x, p.y), (start, length), side * inner, side * outer)
    }
    plan.stage.drop(gone)
    for t in np.arange(inner, outer, 1.7):
        for s in (start, start + length):
            _boards(plan, s, side * float(t + 0.7), 0.0)
    for s in np.arange(start + 1.2, start + length, 1.8):
        _cone(plan, float(s), side * inner)
    furniture.add_fence(plan.stage, rng, street, (start + 1, start + length - 1), side * (outer - 0.15))
    heap = plan.stage.actor(STATIC, street.upright(start + length * 0.7, side * (inner + outer) / 2, 0.0), 1.0)
    heap.add(ellipsoid([0, 0, 0], [1.5, 0.75, 0.8], 2), Look("grass", (0.22, 0.15, 0.09)))
    for _ in range(int(rng.integers(1, 4))):
        at = street.upright(
            start + length * rng.uniform(0.15, 0.5),
            side * rng.uniform(inner + 0.3, outer - 0.4),
            0.0,
            float(rng.uniform(0, 6.3)),
        )
        people.add_person(plan.stage, rng, at, walking=False)
    sign = street.upright(start - 1.5, side * (outer + 0.4), KERB, 0.0)
    furniture.add_sign(plan.stage, rng, sign, furniture.steel(rng))


def _on_site(plan: Plan, at: tuple[float, float], span: tuple[float, float], inner: float, outer: float) -> bool:
    """Whether something stands within a site, by its place in the world."""
    ends = [
        plan.street.ground_point(span[0] + share * span[1], (inner + outer) / 2)[:2] for share in np.linspace(0, 1, 9)
    ]
    return bool(min(np.hypot(*(np.array(at) - end)) for end in ends) < 1.7)


def _barriers(plan: Plan) -> None:
    """A row of concrete or plastic barriers that narrows the road (guard rail: void)."""
    street, rng = plan.street, plan.rng
    side, start = (1 if plan.chance(0.5) else -1), float(rng.uniform(9, 20))
    plastic = plan.chance(0.5)
    for k in range(int(rng.integers(4, 9))):
        s, t = start + 2.05 * k, side * (street.kerb(side) - 0.35 - (0.12 * k if plastic else 0.0))
        colour = ((0.6, 0.04, 0.03) if k % 2 else (0.75, 0.75, 0.73)) if plastic else (0.42, 0.41, 0.39)
        actor = plan.stage.actor(GUARD_RAIL, street.pose(s, t), 1.0)
        look = Look("plain" if plastic else "concrete", colour)
        actor.add([box([-1, -0.3, 0], [1, 0.3, 0.25], 0.02), box([-1, -0.28, 0.25], [1, 0.28, 0.85], 0.17)], look)


_EVENTS = {
    "stepping-out": _stepping_out,
    "fallen-load": _fallen_load,
    "animals": _animals,
    "roadworks": _roadworks,
    "barriers": _barriers,
}
