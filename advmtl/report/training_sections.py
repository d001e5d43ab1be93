"""Sections on what training logs beside its losses: critics, partial supervision, balancing."""

from collections.abc import Mapping, Sequence

from advmtl.report.charts import Chart, line_chart

NOT_RECORDED = '<p>Not recorded in these runs; see <a href="#left-out">what is missing</a>.</p>'


def charts_of(charts: Sequence[Chart]) -> str:
    """Charts side by side, as HTML."""
    return f'<div class="charts">{"".join(line_chart(chart) for chart in charts)}</div>' if charts else ""


def critic_parts(groups: Mapping[str, Sequence[Chart]]) -> list[str]:
    """How the discriminators did."""
    if not groups["accuracies"] and not groups["scores"]:
        return ["<p>No discriminators in these runs.</p>"]
    words = (
        "<p>accuracy: how often a real frame scores above a generated one, 0.5 is chance; patch accuracy: the same for "
        "patches of one frame. A critic at 1 for long has won, one at 0.5 tells nothing.</p>"
    )
    scores = f"<details><summary>Their losses and scores</summary>{charts_of(groups['scores'])}</details>"
    return [words, charts_of(groups["accuracies"]), scores]


def partial_parts(charts: Sequence[Chart]) -> list[str]:
    """What was learnt from frames that lack a label."""
    words = (
        "<p>The terms of each method as they entered the tasks' rows, and what it says of itself: "
        "docs/partial_supervision.md has each name.</p>"
    )
    return [words, charts_of(charts)]


def balancing_parts(groups: Mapping[str, Sequence[Chart]]) -> list[str]:
    """Weights, cosines and norms of the rows."""
    found = [groups[key] for key in ("weights", "cosines", "norms") if groups[key]]
    if not found:
        return [NOT_RECORDED]
    return [
        "<p>Rows are the tasks' losses, and critics with a row of their own. Norms and cosines are those of their "
        "gradients at the shared representation z. A run without weights is a plain sum.</p>",
        *(charts_of(charts) for charts in found),
    ]
