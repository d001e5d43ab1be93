"""Traffic and people: placing moving and parked vehicles and pedestrians."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from preprocessing.scenes import furniture, people, vehicles
from preprocessing.scenes.layout import KERB, Street
from preprocessing.scenes.stage import Stage


@dataclass
class Plan:
    """A street being filled: who takes up which rectangle of (s, t)."""

    stage: Stage
    street: Street
    rng: np.random.Generator
    wanted: frozenset[str]  # rare classes this scene must show
    season: str = "summer"  # or autumn or winter
    taken: list[tuple[float, float, float, float]] = field(default_factory=list)

    def claim(self, s: float, t: float, length: float, width: float) -> bool:
        """Take a rectangle around (s, t) if nothing else has it."""
        for other_s, other_t, other_length, other_width in self.taken:
            if abs(s - other_s) * 2 < length + other_length and abs(t - other_t) * 2 < width + other_width:
                return False
        self.taken.append((s, t, length, width))
        return True

    def chance(self, probability: float) -> bool:
        """A biased coin."""
        return bool(self.rng.random() < probability)


Vehicle = Callable[[float, float, int], None]


def add_vehicle(plan: Plan, kind: str, s: float, t: float, way: int) -> bool:
    """Put a vehicle of a kind at (s, t), heading with (+1) or against (-1) the street."""
    room = {"car": 5.6, "truck": 11.5, "bus": 13.5, "tram": 30.0, "motorcycle": 3.0, "bicycle": 2.6}[kind]
    if not plan.claim(s, t, room, 2.5):
        return False
    turn = (0.0 if way > 0 else np.pi) + plan.rng.normal(0, 0.015)
    where = plan.street.pose(s, t, 0.0, turn)
    if kind == "car":
        vehicles.add_car(plan.stage, plan.rng, where, moving=True)
    elif kind == "truck":
        vehicles.add_truck(plan.stage, plan.rng, where)
    elif kind == "bus":
        vehicles.add_bus(plan.stage, plan.rng, where)
    elif kind == "tram":
        vehicles.add_tram(plan.stage, plan.rng, where)
    else:
        people.add_rider(plan.stage, plan.rng, where, motorcycle=kind == "motorcycle")
    return True


def _try(plan: Plan, kind: str, spots: list[tuple[float, int]], near: float, far: float) -> None:
    """Try a vehicle in several places until one is free."""
    for _ in range(12):
        t, way = spots[int(plan.rng.integers(len(spots)))]
        if add_vehicle(plan, kind, float(plan.rng.uniform(near, far)), t, way):
            return


def add_traffic(plan: Plan, ego_t: float) -> None:
    """Vehicles in the lanes: the wanted ones first, near enough to be seen, then ordinary traffic."""
    street, rng = plan.street, plan.rng
    plan.taken.append((-2.0, ego_t, 18.0, 2.6))
    lanes = street.lanes()
    inner = [(street.lane_width * 0.5, 1), (-street.lane_width * 0.5, -1)]
    if "tram" in plan.wanted:
        _try(plan, "tram", [i for i in inner if abs(i[0] - ego_t) > 1] or inner, 26, 55)
    for kind, odds in (("bus", 0.12), ("truck", 0.15)):
        if kind in plan.wanted or plan.chance(odds):
            _try(plan, kind, lanes, 17, 45)
    edge = [(street.lane_edge(1) - 0.8, 1), (-street.lane_edge(-1) + 0.8, 1 if street.one_way else -1)]
    if "rider" in plan.wanted or (street.kind.riders and plan.chance(0.45)):
        for _ in range(int(rng.integers(1, 4))):
            _try(plan, "bicycle", edge, 8, 32)
    if "motorcycle" in plan.wanted or plan.chance(0.2):
        _try(plan, "motorcycle", lanes, 9, 30)
    busy = rng.uniform(*street.kind.busy)
    for t, way in lanes:
        for s in np.cumsum(rng.exponential(1 / busy, 8)) + 8:
            if s < 140:
                add_vehicle(plan, str(rng.choice(["car", "truck", "bus"], p=street.kind.traffic)), float(s), t, way)


def add_parked(plan: Plan) -> None:
    """Cars and motorcycles in the parking bays."""
    street, rng = plan.street, plan.rng
    for side in (-1, 1):
        if not street.side(side).parking:
            continue
        full, t = rng.uniform(0.35, 0.9), side * (street.kerb(side) - 1.05)
        for s in np.arange(4, 110, 5.9) + rng.uniform(0, 3):
            if street.in_junction(float(s), 9.0) or not plan.chance(full):
                continue
            facing = 0.0 if side > 0 or plan.chance(0.3) else np.pi
            where = street.pose(float(s), t + rng.normal(0, 0.06), 0.0, facing + rng.normal(0, 0.02))
            if plan.chance(0.06) and plan.claim(float(s), t, 5.6, 2.0):
                for step in (-1.2, 0.6):
                    aside = street.pose(float(s) + step, t, 0.0, side * 1.3)
                    people.add_motorcycle(plan.stage, rng, aside)
            elif plan.claim(float(s), t, 5.6, 2.0):
                vehicles.add_car(plan.stage, rng, where, moving=False)


def _walk_t(plan: Plan, side: int) -> float:
    street = plan.street
    low = street.kerb(side) + street.side(side).verge + 0.5
    return side * float(plan.rng.uniform(low, max(street.frontage(side) - 0.4, low + 0.1)))


def add_walker(plan: Plan) -> bool:
    """One more person on a pavement, or beside the road where there is none; whether there was room."""
    side = 1 if plan.chance(0.5) else -1
    s, t = 6 + 60 * float(plan.rng.random()) ** 1.4, _walk_t(plan, side)
    if plan.street.in_junction(s, 0.5) or not plan.claim(s, t, 0.9, 0.7):
        return False
    turn = (0 if plan.chance(0.5) else np.pi) + plan.rng.normal(0, 0.4)
    people.add_person(plan.stage, plan.rng, plan.street.upright(s, t, KERB, turn), walking=plan.chance(0.8))
    return True


def add_pedestrians(plan: Plan) -> None:
    """People on the pavements and on the crossings, a pram now and then."""
    street, rng = plan.street, plan.rng
    for _ in range(int(rng.integers(*street.kind.walks))):
        side = 1 if plan.chance(0.5) else -1
        s, t = 6 + 60 * float(rng.random()) ** 1.4, _walk_t(plan, side)
        if street.in_junction(s, 0.5) or not plan.claim(s, t, 0.9, 0.7):
            continue
        turn = (0 if plan.chance(0.5) else np.pi) + rng.normal(0, 0.4)
        people.add_person(plan.stage, rng, street.upright(s, t, KERB, turn), walking=plan.chance(0.8))
        if plan.chance(0.3) and plan.claim(s + 0.1, t + 0.62, 0.5, 0.4):
            people.add_person(plan.stage, rng, street.upright(s + 0.1, t + 0.62, KERB, turn + 0.1))
        elif plan.chance(0.06):
            people.add_pram(plan.stage, rng, street.upright(s + 1.0 * np.cos(turn), t - 1.0 * np.sin(turn), KERB, turn))
    if street.junction is not None:
        s = street.junction[0] - 2.7
        for _ in range(int(rng.integers(0, 5))):
            t = float(rng.uniform(-street.kerb(-1), street.kerb(1)))
            if plan.claim(s, t, 0.9, 0.7):
                turn = np.pi / 2 * (1 if plan.chance(0.5) else -1)
                people.add_person(plan.stage, rng, street.upright(s + rng.normal(0, 0.5), t, 0.0, turn))


def add_kerbside(plan: Plan) -> None:
    """Parked bicycles and motorcycles, bins and benches near the kerb or the house fronts."""
    street, rng = plan.street, plan.rng
    racks = int(rng.integers(1, 3)) if "bicycle" in plan.wanted or plan.chance(0.5) else 0
    for _ in range(racks):
        side, start = (1 if plan.chance(0.5) else -1), float(rng.uniform(8, 34))
        along = plan.chance(0.5)
        t = side * (street.kerb(side) + (0.6 if along else 1.0))
        for k in range(int(rng.integers(2, 6))):
            s = start + k * (2.1 if along else 0.75)
            if street.in_junction(s, 3) or not plan.claim(s, t, 1.9 if along else 0.6, 0.7 if along else 1.8):
                continue
            turn = rng.normal(0, 0.06) + (0 if along else np.pi / 2)
            people.add_bicycle(plan.stage, rng, street.upright(s, t, KERB, turn))
    if "motorcycle" in plan.wanted or plan.chance(0.12):
        for _ in range(4):
            side, s = (1 if plan.chance(0.6) else -1), float(rng.uniform(8, 26))
            t = side * (street.kerb(side) + 0.7)
            if not street.in_junction(s, 3) and plan.claim(s, t, 2.2, 0.9):
                people.add_motorcycle(plan.stage, rng, street.upright(s, t, KERB, rng.normal(0, 0.5)))
                break
    for _ in range(int(rng.integers(1, 6))):
        side, s = (1 if plan.chance(0.5) else -1), float(rng.uniform(8, 60))
        t = side * (street.frontage(side) - 0.6)
        if not street.in_junction(s, 3) and plan.claim(s, t, 1.9, 0.9):
            furniture.add_bin(plan.stage, rng, street.upright(s, t, KERB, 0.0 if side < 0 else np.pi))
