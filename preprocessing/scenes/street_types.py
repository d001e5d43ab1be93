"""What makes each type of street, as numbers; only the first three are in a set where nothing is asked."""

from __future__ import annotations

from dataclasses import dataclass

EVERYTHING = frozenset(
    {"tram", "light", "bus", "wall", "rider", "fence", "truck", "bicycle", "motorcycle"}
)  # what a scene's turn may call for


@dataclass(frozen=True)
class StreetType:
    """How a street of this type is laid out and filled.

    Attributes:
        plots: What stands beside it, with odds.
        wanted: Which of the rare classes a scene's turn may bring.
        lanes: (right, left), or None for chance.
        walk, verge: Least and greatest width [m], or None for those of a town.
        traffic: Odds of car, truck and bus; `busy`: vehicles per metre of lane, least and greatest.
        parking, junctions, signals, lamps, walkers, riders, trees: Whether there may be some.
        backdrop: What closes the view: houses, halls or trees.
        walks: Least and greatest number of people on the pavements.
    """

    plots: tuple[tuple[str, float], ...]
    wanted: frozenset[str] = EVERYTHING
    lanes: tuple[int, int] | None = None
    walk: tuple[float, float] | None = None
    verge: tuple[float, float] | None = None
    traffic: tuple[float, float, float] = (0.93, 0.05, 0.02)
    busy: tuple[float, float] = (0.02, 0.07)
    parking: bool = True
    junctions: bool = True
    signals: bool = True
    lamps: bool = True
    walkers: bool = True
    riders: bool = True
    trees: bool = True
    backdrop: str = "houses"
    walks: tuple[int, int] = (4, 17)


def _town(*odds: float) -> tuple[tuple[str, float], ...]:
    return tuple(zip(("houses", "park", "wall", "fence", "open"), odds, strict=True))


STREET_TYPES: dict[str, StreetType] = {
    "city": StreetType(_town(0.72, 0.1, 0.08, 0.08, 0.02)),
    "suburb": StreetType(_town(0.45, 0.2, 0.12, 0.18, 0.05)),
    "avenue": StreetType(_town(0.45, 0.35, 0.08, 0.08, 0.04)),
    "motorway": StreetType(
        (("rail", 0.6), ("barrier", 0.3), ("open", 0.1)),
        wanted=frozenset({"bus", "truck", "motorcycle"}),
        lanes=(3, 3),
        walk=(0.0, 0.0),
        verge=(2.0, 4.0),
        traffic=(0.75, 0.22, 0.03),
        busy=(0.015, 0.05),
        parking=False,
        junctions=False,
        signals=False,
        lamps=False,
        walkers=False,
        riders=False,
        trees=False,
        backdrop="trees",
    ),
    "rural": StreetType(
        (("open", 0.45), ("fence", 0.2), ("park", 0.27), ("houses", 0.08)),
        wanted=frozenset({"bus", "truck", "motorcycle", "rider", "fence", "wall"}),
        lanes=(1, 1),
        walk=(0.0, 0.0),
        verge=(1.0, 3.0),
        traffic=(0.85, 0.12, 0.03),
        busy=(0.006, 0.025),
        parking=False,
        junctions=False,
        signals=False,
        lamps=False,
        walkers=False,
        backdrop="trees",
    ),
    "industrial": StreetType(
        (("works", 0.6), ("fence", 0.18), ("wall", 0.12), ("open", 0.1)),
        wanted=EVERYTHING - {"tram"},
        walk=(1.2, 2.4),
        traffic=(0.55, 0.43, 0.02),
        busy=(0.015, 0.045),
        trees=False,
        backdrop="works",
        walks=(0, 5),
    ),
    "plaza": StreetType(
        (("houses", 0.86), ("park", 0.14)),
        lanes=(1, 1),
        walk=(6.0, 10.0),
        verge=(0.0, 0.0),
        traffic=(0.6, 0.25, 0.15),
        busy=(0.002, 0.008),
        parking=False,
        walks=(22, 46),
    ),
}
