"""What lines a street: houses, parks, walls, fences, trees, lamps, signs, traffic lights."""

from __future__ import annotations

import numpy as np

from preprocessing.scenes import furniture, vegetation
from preprocessing.scenes.buildings import add_hall, add_house
from preprocessing.scenes.ground import ground_height
from preprocessing.scenes.layout import FAR, KERB, NEAR, Plot
from preprocessing.scenes.populate import Plan
from preprocessing.scenes.stage import Look


def add_plots(plan: Plan) -> None:
    """Fill every plot of both sides."""
    for plot in plan.street.plots:
        if plot.kind == "houses":
            _houses(plan, plot)
            continue
        if plot.kind == "works":
            _works(plan, plot)
            continue
        span, t = (plot.start + 0.3, plot.end - 0.3), plot.side * (plan.street.frontage(plot.side) + 0.3)
        if plot.kind == "wall":
            furniture.add_wall(plan.stage, plan.rng, plan.street, span, t)
        elif plot.kind == "fence":
            furniture.add_fence(plan.stage, plan.rng, plan.street, span, t)
        elif plot.kind == "rail":
            furniture.add_guard_rail(plan.stage, plan.street, span, t)
        elif plot.kind == "barrier":
            furniture.add_noise_barrier(plan.stage, plan.rng, plan.street, span, t + plot.side * 2)
        elif plot.kind == "park" and plan.chance(0.35):
            leaf = vegetation.leaf_of(plan.rng, plan.season)
            vegetation.add_hedge(plan.stage, plan.rng, plan.street, span, t, leaf)
        _greenery(plan, plot)
    if plan.street.theme == "motorway":
        for t in (-0.35, 0.35):
            furniture.add_guard_rail(plan.stage, plan.street, (NEAR, FAR), t)


def _works(plan: Plan, plot: Plot) -> None:
    """Halls behind a yard, fenced off now and then."""
    street, rng, s = plan.street, plan.rng, plot.start
    setback = float(rng.uniform(3, 9))
    while plot.end - s > 9:
        width = min(float(rng.uniform(18, 40)), plot.end - s)
        where = street.upright(s + width / 2, plot.side * (street.frontage(plot.side) + setback), KERB)
        add_hall(plan.stage, rng, where, max(width - float(rng.uniform(0.5, 4)), 6.0), plot.side)
        s += width
    if plan.chance(0.55):
        t = plot.side * (street.frontage(plot.side) + 0.25)
        furniture.add_fence(plan.stage, rng, street, (plot.start + 0.3, plot.end - 5.0), t)


def _houses(plan: Plan, plot: Plot) -> None:
    street, rng = plan.street, plan.rng
    suburb = street.theme in ("suburb", "rural")
    setback = float(rng.uniform(3, 7)) if suburb else (float(rng.uniform(0, 0.6)))
    s = plot.start
    while plot.end - s > 6:
        width = float(rng.uniform(8, 13) if suburb else rng.uniform(9, 22))
        width = min(width, plot.end - s)
        if plot.end - s - width < 6:
            width = plot.end - s
        t = plot.side * (street.frontage(plot.side) + setback)
        # The front is the chord of its stretch, so neighbours meet on a bend.
        gap = 3.0 if suburb else 0.02
        spread = 1 - t * float(street.heading_at(s + width) - street.heading_at(s)) / width
        where = street.upright(s + width / 2, t, KERB)
        add_house(plan.stage, rng, where, max(width * spread - gap, 4.0), plot.side, street.theme)
        s += width
    if suburb:
        _front_garden(plan, plot, setback)


def _front_garden(plan: Plan, plot: Plot, setback: float) -> None:
    span, street, rng = (plot.start + 0.3, plot.end - 0.3), plan.street, plan.rng
    t = plot.side * (street.frontage(plot.side) + 0.25)
    kind = str(rng.choice(["fence", "wall", "hedge", "none"], p=[0.3, 0.2, 0.25, 0.25]))
    if kind == "fence":
        furniture.add_fence(plan.stage, rng, street, span, t)
    elif kind == "wall":
        furniture.add_wall(plan.stage, rng, street, span, t)
    elif kind == "hedge":
        vegetation.add_hedge(plan.stage, rng, street, span, t, vegetation.leaf_of(rng, plan.season))
    for _ in range(int((span[1] - span[0]) / 7)):
        s = float(rng.uniform(*span))
        where = street.upright(s, plot.side * (street.frontage(plot.side) + rng.uniform(1.2, setback - 1)), KERB)
        vegetation.add_bush(plan.stage, rng, where, vegetation.leaf_of(rng, plan.season))


def _greenery(plan: Plan, plot: Plot) -> None:
    """Trees and bushes on open ground, and houses far behind it."""
    street, rng = plan.street, plan.rng
    length, edge = plot.end - plot.start, street.frontage(plot.side)
    dense = {"park": 1.0, "wall": 0.7, "fence": 0.6, "open": 0.25, "rail": 0.8, "barrier": 0.7}[plot.kind]
    for _ in range(int(length * dense * rng.uniform(0.12, 0.3))):
        s, t = (
            float(rng.uniform(plot.start, plot.end)),
            plot.side * float(edge + 2.5 + 30 * rng.random() ** 1.5),
        )
        where = street.upright(s, t, ground_height(street, s, t) - 0.1, float(rng.uniform(0, 6)))
        leaf = vegetation.leaf_of(rng, plan.season)
        if plan.chance(0.2):
            vegetation.add_conifer(plan.stage, rng, where, leaf)
        elif plan.chance(0.25):
            vegetation.add_bush(plan.stage, rng, where, leaf)
        else:
            vegetation.add_tree(plan.stage, rng, where, leaf, far=s > 35 or abs(t) > edge + 10)
    if street.kind.backdrop == "houses" and plan.chance(0.7):
        for s in np.arange(plot.start + 8, plot.end, 22):
            where = street.upright(float(s), plot.side * (edge + rng.uniform(34, 40)), 0.0)
            add_house(plan.stage, rng, where, float(rng.uniform(12, 19)), plot.side, street.theme)


def add_backdrop(plan: Plan) -> None:
    """Houses along the crossing street and across the far end, so that no gap shows the edge of the world."""
    street, rng = plan.street, plan.rng
    rows = [(FAR - 3, -1, -90.0, 90.0)]
    if street.junction is not None:
        for side in (-1, 1):
            low, high = sorted((side * (street.frontage(side) + 15), side * 78.0))
            rows += [(street.junction[0] - 3, 1, low, high), (street.junction[1] + 3, -1, low, high)]
    for s, side, low, high in rows:
        t = low
        while t < high - 8:
            width = float(rng.uniform(9, 18))
            if street.kind.backdrop == "works":
                where = street.upright(s, t + width / 2, KERB - 0.3, -np.pi / 2)
                add_hall(plan.stage, rng, where, width - 0.02, side)
            elif street.kind.backdrop == "houses" and plan.chance(0.8):
                add_house(
                    plan.stage,
                    rng,
                    street.upright(s, t + width / 2, KERB - 0.3, -np.pi / 2),
                    width - 0.02,
                    side,
                    street.theme,
                )
            else:
                tree = street.upright(s - side * 4, t + width / 2, 0.0)
                vegetation.add_tree(plan.stage, rng, tree, vegetation.leaf_of(rng, plan.season), far=True)
            t += width


def add_street_trees(plan: Plan) -> None:
    """A row of trees in the verge or at the kerb."""
    street, rng = plan.street, plan.rng
    for side in (-1, 1):
        verge = street.side(side).verge
        if not plan.chance(0.75 if verge else 0.25):
            continue
        t = side * (street.kerb(side) + (verge / 2 if verge else 0.6))
        leaf, gap = vegetation.leaf_of(rng, plan.season), rng.uniform(8, 16)
        for s in np.arange(rng.uniform(6, 14), 140, gap):
            if street.in_junction(float(s), 5) or plan.chance(0.12) or not plan.claim(float(s), t, 1.0, 0.7):
                continue
            where = street.upright(float(s), t, KERB, float(rng.uniform(0, 6)))
            vegetation.add_tree(plan.stage, rng, where, leaf, far=bool(s > 38))


def add_lamps(plan: Plan) -> None:
    """Street lamps on one or both sides, and masts."""
    street, rng = plan.street, plan.rng
    look = furniture.steel(rng)
    for side in (-1, 1):
        if not plan.chance(0.75):
            continue
        t = side * (street.kerb(side) + 0.45)
        for s in np.arange(rng.uniform(7, 24), 150, rng.uniform(19, 30)):
            if not street.in_junction(float(s), 0.5) and plan.claim(float(s), t, 0.5, 0.4):
                turn = 0.0 if side > 0 else np.pi
                furniture.add_lamp(plan.stage, rng, street.upright(float(s), t, KERB, turn), look)
    for _ in range(int(rng.integers(0, 4))):
        side, s = (1 if plan.chance(0.5) else -1), float(rng.uniform(8, 60))
        t = side * (street.kerb(side) + 0.5)
        if not street.in_junction(s, 1) and plan.claim(s, t, 0.4, 0.4):
            furniture.add_post(plan.stage, rng, street.upright(s, t, KERB), look)
    if plan.chance(0.3):
        side, s = (1 if plan.chance(0.5) else -1), float(rng.uniform(8, 30))
        if not street.in_junction(s, 10):
            furniture.add_bollards(plan.stage, rng, street, s, side * (street.kerb(side) + 0.35))


def add_signs(plan: Plan) -> None:
    """Traffic signs facing the traffic they speak to."""
    street, rng = plan.street, plan.rng
    look = Look("metal", (0.33, 0.33, 0.34))
    for k in range(int(rng.integers(3, 8))):
        near = k == 0
        side, s = (
            (1 if near or plan.chance(0.6) else -1),
            float(rng.uniform(8, 24) if near else rng.uniform(10, 90)),
        )
        t = side * (street.kerb(side) + 0.5)
        if street.in_junction(s, 0.5) or not plan.claim(s, t, 0.4, 0.5):
            continue
        turn = rng.normal(0, 0.12) + (0.0 if side > 0 or plan.chance(0.5) else np.pi)
        furniture.add_sign(plan.stage, rng, street.upright(s, t, KERB, turn), look)


def add_signals(plan: Plan) -> None:
    """Traffic lights at the junction, or at a crossing where the scene wants one and has no junction."""
    street, rng = plan.street, plan.rng
    if street.junction is not None and (plan.chance(0.7) or "light" in plan.wanted):
        stops = [
            (street.junction[0] - 5.0, 0.0),
            (street.junction[1] + 4.5, 0.0),
            (street.junction[1] + 4.5, np.pi),
        ]
    elif "light" in plan.wanted or plan.chance(0.15):
        stops = [(float(rng.uniform(12, 32)), 0.0)]
    else:
        return
    mast = float(rng.uniform(2.5, 4.5)) if plan.chance(0.5) else 0.0
    for s, turn in stops:
        for side in (-1, 1):
            t = side * (street.kerb(side) + 0.4)
            if plan.claim(s, t, 0.4, 0.4):
                out = mast if side > 0 and turn == 0.0 else 0.0
                furniture.add_traffic_light(
                    plan.stage, rng, street.upright(s, t, KERB, turn + rng.normal(0, 0.05)), out
                )
