"""Means by stage, and which tasks to train together, by hand; what the command and the report make of them."""

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest
from command_line import advmtl
from written_runs import write_run

from advmtl.affinity import affinities_of, group_table, pair_table, proposals, propose
from advmtl.report import write_report

# a and b help each other, c hurts both and is helped by a a little.
HELP = {("a", "b"): 0.4, ("b", "a"): 0.2, ("c", "a"): -0.3, ("c", "b"): -0.5, ("a", "c"): 0.1, ("b", "c"): -0.2}


def test_groups_by_hand() -> None:
    """One network: a (0.2 − 0.3)/2, b (0.4 − 0.5)/2, c (0.1 − 0.2)/2. Two: a and b, and c alone, or with a along."""
    one, two, three = proposals("abc", HELP)
    assert one.groups == (("a", "b", "c"),) and one.gain == pytest.approx(-0.15)
    assert two.groups == (("a", "b"), ("a", "c")) and two.gains == {"a": 0.2, "b": 0.4, "c": 0.1}
    assert two.served == {"a": 0, "b": 0, "c": 1} and three == two
    assert [row[1] for row in group_table([one, two])[1]] == ["a + b + c", "a + b; (a) + c"]


def test_alone_is_better_than_hurt_and_fewer_networks_are_better_than_more() -> None:
    hurt = dict.fromkeys(itertools.permutations("ab", 2), -1.0)
    assert propose("ab", hurt, 2).groups == (("a",), ("b",))
    assert propose("ab", hurt, 1).groups == (("a", "b"),)
    alike = dict.fromkeys(itertools.permutations("abc", 2), 1.0)
    assert propose("abc", alike, 3).groups == (("a", "b", "c"),)
    assert proposals("a", {}) == [] == proposals("abcdef", {})


def test_the_best_of_all_choices_is_found() -> None:
    """Against all sets of groups of four tasks, by their definition."""
    noise = random.Random(3)
    for networks in (1, 2, 3):
        means = {pair: noise.gauss(0, 1) for pair in itertools.permutations("abcd", 2)}
        groups = [set(g) for size in range(1, 5) for g in itertools.combinations("abcd", size)]

        def gain(chosen: tuple[set[str], ...], means: dict[Any, float] = means) -> float:
            if set().union(*chosen) != set("abcd"):
                return float("-inf")
            others = {j: [[means[i, j] for i in g if i != j] for g in chosen if j in g] for j in "abcd"}
            return sum(max(sum(z) / max(len(z), 1) for z in found) for found in others.values())

        best = max(gain(chosen) for n in range(1, networks + 1) for chosen in itertools.combinations(groups, n))
        assert propose("abcd", means, networks).gain == pytest.approx(best)


def rows(task: str = "depth", other: str = "segmentation") -> list[dict[str, Any]]:
    """Measured in steps 2, 4, 9 and 12 of 12; a value is missing where a batch had no label."""
    values = {2: 0.01, 4: 0.03, 9: -0.04, 12: 0.02}
    found: list[dict[str, Any]] = [
        {
            **{"kind": "affinity", "step": step, "epoch": 0, f"affinity/{task}>{other}": z},
            **{f"affinity/{other}>{other}": 0.1, f"affinity/{other}>{task}": 0.05, f"affinity/{task}>{task}": 0.2},
        }
        for step, z in values.items()
    ]
    del found[0][f"affinity/{other}>{other}"]
    return found


def test_means_by_hand() -> None:
    """Thirds of 12 steps are 1 to 4, 5 to 8, 9 to 12."""
    found = affinities_of(rows(), 12)
    assert found is not None and found.count == 4 and found.tasks == ["segmentation", "depth"]
    whole = found.whole["depth", "segmentation"]
    assert whole.value == pytest.approx(0.005) and whole.count == 4
    assert whole.error == pytest.approx((0.0029 / 3) ** 0.5 / 2)  # deviations 0.005, 0.025, −0.045, 0.015
    first, second, last = (stage.get(("depth", "segmentation")) for stage in found.stages)
    assert first and last and first.value == pytest.approx(0.02) and last.value == pytest.approx(-0.01)
    assert second is None and found.whole["segmentation", "segmentation"].count == 3
    assert found.share("depth", "segmentation") == pytest.approx(0.05)
    line = next(row for row in pair_table(found)[1] if row[:2] == ["depth", "segmentation"])
    assert line[2:] == ["+0.500 ± 1.555", "+2.000 ± 1.000", "–", "-1.000 ± 3.000", "+5"]
    assert affinities_of([{"kind": "affinity", "step": 1, "epoch": 0}], 5) is None


def test_a_critics_row_is_no_task_to_group() -> None:
    row = {"step": 1, "epoch": 0, "affinity/adversarial/both>depth": 0.1, "affinity/depth>depth": 0.2}
    found = affinities_of([row], 1)
    assert found is not None and found.sources == ["adversarial/both", "depth"] and found.tasks == ["depth"]
    assert found.whole["depth", "depth"].error is None


def measured_run(folder: Path) -> Path:
    run = write_run(folder)
    with (run / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows())
    return run


def test_the_command_prints_and_writes(tmp_path: Path) -> None:
    run = measured_run(tmp_path / "run")
    said = advmtl("affinity", run, "--json", tmp_path / "a.json")
    assert said.exit_code == 0 and "4 of 12 steps measured" in said.output and "+0.500 ± 1.555" in said.output
    figures = json.loads((tmp_path / "a.json").read_text())
    pair = next(one for one in figures["pairs"] if (one["from"], one["onto"]) == ("depth", "segmentation"))
    assert pair["z"] == pytest.approx(0.005) and list(pair["stages"]) == ["first third", "last third"]
    together, apart = figures["proposed"]
    assert together["networks"] == [{"tasks": ["segmentation", "depth"], "serves": ["segmentation", "depth"]}]
    assert together == apart and together["gains"]["depth"] == pytest.approx(0.05)
    one = json.loads(advmtl("affinity", run, "--networks", "1", "--json", "-").output)
    assert one["proposed"] == [together]


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    bare = advmtl("affinity", write_run(tmp_path / "bare"))
    assert bare.exit_code == 2 and "no affinity was measured; train with affinity={share: 0.05}" in bare.output
    assert advmtl("affinity", tmp_path / "nowhere").exit_code == 2
    alone = write_run(tmp_path / "alone")
    with (alone / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"kind": "affinity", "step": 1, "epoch": 0, "affinity/a>depth": 0.1}) + "\n")
    found = advmtl("affinity", alone, "--networks", "2")
    assert found.exit_code == 2 and "--networks: 0 tasks were measured; 2 to 5 can be grouped" in found.output


def test_the_report_has_a_section_where_it_was_measured(tmp_path: Path) -> None:
    plain, run, out = write_run(tmp_path / "plain"), measured_run(tmp_path / "run"), tmp_path / "page.html"
    write_report([plain], out)
    assert 'id="affinity"' not in out.read_text()
    write_report([plain, run], out)
    section = out.read_text().split('id="affinity"')[1].split("</section>")[0]
    assert "Step of depth, loss of segmentation" in section and "+0.500 ± 1.555" in section
    assert "Networks proposed by run" in section and "segmentation + depth" in section
    figures = json.loads(out.with_suffix(".json").read_text())
    assert "affinity" not in figures["runs"][0] and figures["runs"][1]["affinity"]["measured"] == 4
    assert len(figures["charts"]["affinity"]) == 4
