"""The report's section on affinity: what was measured in a run, and the networks that it proposes."""

from collections.abc import Sequence
from dataclasses import dataclass

from advmtl.affinity import Affinities, Grouping, affinities_of, group_table, pair_table, proposals
from advmtl.report.read import RunRecord
from preprocessing.ground import Table


@dataclass(frozen=True)
class Shown:
    """One run's: its name, how much was measured, every pair, and the proposed networks where tasks can be grouped."""

    name: str
    extent: str
    pairs: Table
    groups: Table | None


def measured_in(run: RunRecord) -> Affinities | None:
    """Means of what was measured in a run, None where nothing was."""
    rows = [*run.train, *run.validation, *run.affinity]
    return affinities_of(run.affinity, int(max((row["step"] for row in rows), default=0)))


def proposed_by(found: Affinities) -> list[Grouping]:
    """The best networks for each number of them."""
    means = {pair: mean.value for pair, mean in found.whole.items()}
    return proposals(found.tasks, means)


def affinity_sections(runs: Sequence[RunRecord]) -> list[Shown]:
    """Of every run that has measured it."""
    sections = []
    for run in runs:
        found = measured_in(run)
        if found is None:
            continue
        proposed = proposed_by(found)
        sections.append(
            Shown(
                run.name,
                f"{found.count} of {found.steps:,} steps measured",
                Table(f"Affinity in {run.name}", *pair_table(found)),
                Table(f"Networks proposed by {run.name}", *group_table(proposed)) if proposed else None,
            )
        )
    return sections
