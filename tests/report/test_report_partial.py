"""The table of configurations where some runs have partial supervision: what it is made of, and nothing twice."""

import json
from pathlib import Path

from written_runs import write_run

from advmtl.report.page import write_report
from advmtl.report.read import read_runs
from advmtl.report.tables import setting_tables
from preprocessing.ground.page import Table


def rows_of(table: Table | None) -> dict[str, list[str]]:
    """Cells of each row, by key."""
    assert table is not None
    return {key: cells for key, *cells in table.rows}


def test_settings_of_a_method_stand_beside_runs_without_it(tmp_path: Path) -> None:
    plain = write_run(tmp_path / "plain", data={"label_budget": "one"})
    held = write_run(
        tmp_path / "held", data={"label_budget": "1:9"}, partial={"consistency": {"weight": 0.25, "width": 16}}
    )
    found = rows_of(setting_tables(read_runs([plain, held]))[0])
    assert found["partial.consistency.weight"] == ["–", "–", "0.25"]
    assert found["partial.consistency.width"] == ["–", "–", "16"]
    assert found["data.label_budget"] == ["all", "one", "1:9"]
    # Neither the part that holds them, nor the ways that neither run goes.
    assert "partial" not in found and "partial.adversary" not in found and "growth" not in found


def test_a_method_of_all_runs_is_among_their_settings(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, seed=seed, partial={"consistency": {}}) for seed, name in enumerate("ab")]
    differing, shared = setting_tables(read_runs(runs))
    assert list(rows_of(differing)) == ["seed"]
    assert rows_of(shared)["partial.consistency.weight"] == ["–", "0.5"]
    assert "partial.mean_teacher" not in rows_of(shared)


def test_what_methods_log_has_a_section_of_its_own_where_there_is_one(tmp_path: Path) -> None:
    runs, out = [write_run(tmp_path / name) for name in ("plain", "taught")], tmp_path / "page.html"
    write_report(runs[:1], out)
    assert 'id="partial"' not in out.read_text()
    path = runs[1] / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    taught = [row | {"partial/mean_teacher/depth": 0.25} if row["kind"] == "train" else row for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in taught))
    write_report(runs, out)
    section = out.read_text().split('id="partial"')[1].split("</section>")[0]
    assert "Partial supervision" in section and "teacher" in section and "<svg" in section
