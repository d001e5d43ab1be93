"""More or fewer things of a class than a set has otherwise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from preprocessing.scenes import furniture, people, populate, stage, vegetation
from preprocessing.scenes.layout import KERB
from preprocessing.scenes.populate import Plan

LABELS: dict[str, int] = {
    "wall": stage.WALL, "fence": stage.FENCE, "pole": stage.POLE, "traffic light": stage.TRAFFIC_LIGHT,
    "traffic sign": stage.TRAFFIC_SIGN, "vegetation": stage.VEGETATION, "person": stage.PERSON, "rider": stage.RIDER,
    "car": stage.CAR, "truck": stage.TRUCK, "bus": stage.BUS, "train": stage.TRAIN, "motorcycle": stage.MOTORCYCLE,
    "bicycle": stage.BICYCLE,
}  # fmt: skip

# Objects a scene of the set where nothing is asked, mean of 45 scenes of seed 1; walls and fences in pieces of 5 and
# 2.5 m, vegetation as trees and bushes.
_USUAL: dict[str, float] = {
    "wall": 9.3, "fence": 23.4, "pole": 17.1, "traffic light": 2.2, "traffic sign": 4.3, "vegetation": 76.0,
    "person": 11.0, "rider": 1.5, "car": 19.8, "truck": 1.2, "bus": 0.42, "train": 0.22, "motorcycle": 1.7,
    "bicycle": 3.6,
}  # fmt: skip
_PIECES = {"wall": 3, "fence": 6}  # added at a time
_TRIES = 25


def add_more(plan: Plan, ego_t: float, factors: dict[str, float]) -> None:
    """Place what factors above 1 ask for, on average factor - 1 times what a scene usually has."""
    for name in sorted(factors):
        extra = max(factors[name] - 1, 0) * _USUAL[name] / _PIECES.get(name, 1)
        for _ in range(int(plan.rng.poisson(extra))):
            for _ in range(_TRIES):
                if _PLACERS[name](plan, ego_t):
                    break


def thin_out(plan: Plan, factors: dict[str, float]) -> None:
    """Take away what factors below 1 leave no room for, each object with the same chance."""
    gone = set()
    for name in sorted(factors):
        if factors[name] < 1:
            at = [placed for placed in plan.stage.placed if placed.label == LABELS[name]]
            gone |= {placed.seed for placed in at if plan.rng.random() >= factors[name]}
    plan.stage.drop(gone)


def _vehicle(kind: str) -> Callable[[Plan, float], bool]:
    def place(plan: Plan, ego_t: float) -> bool:
        lanes = plan.street.lanes()
        t, way = lanes[int(plan.rng.integers(len(lanes)))]
        return populate.add_vehicle(plan, kind, 10 + 70 * float(plan.rng.random()) ** 1.3, t, way)

    return place


def _rider(plan: Plan, ego_t: float) -> bool:
    side = 1 if plan.chance(0.6) else -1
    t = side * (plan.street.lane_edge(side) - 0.8)
    kind = "motorcycle" if plan.chance(0.25) else "bicycle"
    return populate.add_vehicle(plan, kind, float(plan.rng.uniform(8, 45)), t, side)


def _kerbside(add: Callable[..., None], off: float, length: float) -> Callable[[Plan, float], bool]:
    """Something at the kerb that `add` puts there."""

    def place(plan: Plan, ego_t: float) -> bool:
        street, rng = plan.street, plan.rng
        side, s = (1 if plan.chance(0.5) else -1), float(rng.uniform(7, 60))
        t = side * (street.kerb(side) + off)
        if street.in_junction(s, 1.0) or not plan.claim(s, t, length, 0.6):
            return False
        add(plan.stage, rng, street.upright(s, t, KERB, 0.0 if side > 0 or plan.chance(0.5) else np.pi))
        return True

    return place


def _person(plan: Plan, ego_t: float) -> bool:
    return populate.add_walker(plan)


def _tree(plan: Plan, ego_t: float) -> bool:
    street, rng = plan.street, plan.rng
    side, s = (1 if plan.chance(0.5) else -1), float(rng.uniform(6, 120))
    t = side * float(street.frontage(side) + rng.uniform(-0.5, 14))
    if street.in_junction(s, 5) or not plan.claim(s, t, 1.2, 1.2):
        return False
    where = street.upright(s, t, KERB - 0.1, float(rng.uniform(0, 6)))
    vegetation.add_tree(plan.stage, rng, where, vegetation.leaf_of(rng, plan.season), far=s > 38)
    return True


def _line(add: Callable[..., None]) -> Callable[[Plan, float], bool]:
    """A stretch of wall or fence along the frontage."""

    def place(plan: Plan, ego_t: float) -> bool:
        street, rng = plan.street, plan.rng
        side, s = (1 if plan.chance(0.5) else -1), float(rng.uniform(6, 90))
        t = side * (street.frontage(side) - 0.15)
        if street.in_junction(s + 7, 12) or not plan.claim(s + 7, t, 15.0, 0.5):
            return False
        add(plan.stage, rng, street, (s, s + 15.0), t)
        return True

    return place


def _signal(stage_: stage.Stage, rng: np.random.Generator, where: stage.Pose) -> None:
    furniture.add_traffic_light(stage_, rng, where, 0.0)


def _sign(stage_: stage.Stage, rng: np.random.Generator, where: stage.Pose) -> None:
    furniture.add_sign(stage_, rng, where, furniture.steel(rng))


def _post(stage_: stage.Stage, rng: np.random.Generator, where: stage.Pose) -> None:
    furniture.add_post(stage_, rng, where, furniture.steel(rng))


_PLACERS: dict[str, Callable[[Plan, float], bool]] = {
    "wall": _line(furniture.add_wall),
    "fence": _line(furniture.add_fence),
    "pole": _kerbside(_post, 0.5, 0.5),
    "traffic light": _kerbside(_signal, 0.45, 0.5),
    "traffic sign": _kerbside(_sign, 0.5, 0.5),
    "vegetation": _tree,
    "person": _person,
    "rider": _rider,
    "car": _vehicle("car"),
    "truck": _vehicle("truck"),
    "bus": _vehicle("bus"),
    "train": _vehicle("tram"),
    "motorcycle": _kerbside(people.add_motorcycle, 0.7, 2.2),
    "bicycle": _kerbside(people.add_bicycle, 0.6, 1.9),
}
