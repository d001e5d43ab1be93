"""What is said beside a row of a comparison: what will never act, and what differs from the reference."""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from street_set import TASKS

from advmtl.compare import comparison as compare_module
from advmtl.compare.comparison import compare
from advmtl.compare.configs import Difference, differences, single_task
from advmtl.compare.metrics import Row
from advmtl.compare.table import Grid, grids
from advmtl.config import Config, load_config
from advmtl.config.typed import validate
from preprocessing.ground.errors import InputError

CPU = torch.device("cpu")
CRITIC = {"both": {"sees": ["segmentation", "depth"], "objective": "hinge", "channels": 4, "layers": 2}}


def make(name: str, **changes: Any) -> Config:
    return validate(Config, {"name": name, "tasks": TASKS, **changes}, "test")


def keys(config: Config, *others: Config) -> list[str]:
    """Where the last one differs from references of the first."""
    return [one.key for one in differences((config, *others)[-1], single_task([config, *others]))]


def test_a_learning_rate_is_a_difference_from_the_reference() -> None:
    plain, faster = make("plain"), make("faster", train={"learning_rate": 0.006})
    singles = single_task([plain, faster])
    assert differences(plain, singles) == ()
    (found,) = differences(faster, singles)
    assert found == Difference("train.learning_rate", 0.006, 0.001)
    assert found.text == "train.learning_rate 0.006, reference 0.001"


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"train": {"schedule": "cosine", "warmup_steps": "5%"}}, ["train.schedule", "train.warmup_steps"]),
        ({"train": {"precision": "bf16"}}, ["train.precision"]),  # a key that the hash leaves out at its default
        ({"data": {"augment": {"flip": 0}}}, ["data.augment.flip"]),
        ({"encoder": {"width": 0.5}}, ["encoder.width"]),
        (
            {"tasks": {**TASKS, "depth": {"losses": {"huber": 1}}}},
            ["tasks.depth.losses.berhu", "tasks.depth.losses.huber"],
        ),
        # What makes it another method is none.
        ({"discriminators": CRITIC, "train": {"adversarial_start_step": 9, "discriminator_steps": 2}}, []),
        ({"balance": {"method": "mgda"}, "growth": {"detections": 2}}, []),
        ({"tasks": {**TASKS, "depth": {**TASKS["depth"], "weight": 0.3}}}, []),
        ({"data": {"workers": 0}}, []),
    ],
)
def test_which_keys_are_differences(changes: dict[str, Any], found: list[str]) -> None:
    assert keys(make("plain"), make("other", **changes)) == found


def test_a_task_is_compared_with_its_own_reference() -> None:
    """The first configuration that has depth is the second one."""
    classes = make("classes", tasks={"segmentation": TASKS["segmentation"]})
    both = make("both", train={"learning_rate": 0.006})
    assert keys(classes, make("depth", tasks={"depth": TASKS["depth"]}, train={"learning_rate": 0.006})) == []
    assert keys(classes, both) == ["train.learning_rate"]


def test_a_note_names_some_differences_and_how_many_more() -> None:
    found = tuple(Difference(f"train.k{number}", number, None) for number in range(8))
    row = Row("x", "", (), (), 0, None, (), doubts=("late",), differences=found)
    assert row.notes[0] == "late" and row.notes[1].endswith("train.k5 5, reference none and 2 more")


@pytest.fixture
def configs(streets: Path) -> list[Config]:
    sources = {role: [{"format": "cityscapes", "root": str(streets), "split": role}] for role in ("train", "val")}
    values = {
        "tasks": TASKS,
        "encoder": {"weights": None, "width": 0.5},
        "generator": {"channels": 8, "crp_stages": 0},
        "data": {**sources, "size": "64x32", "batch_size": 2, "workers": 0, "cache_mb": 8},
    }
    train = {"epochs": 1, "log_every": 1, "warmup_steps": 0, "panels": 0}
    late = {**train, "adversarial_start_step": 300}
    return [
        make("plain", **values, train=train),
        make("critic", **values, train=late, discriminators=CRITIC),
        make("faster", **values, train={**train, "learning_rate": 0.006}),
    ]


def test_notes_stand_beside_the_rows_in_table_json_and_before_the_first_run(
    configs: list[Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(config: Config, *_: object) -> SimpleNamespace:
        figures = {
            "segmentation": {"miou": 0.1, "pixel_accuracy": 0.5},
            "depth": {"abs_rel": 0.2, "rmse_m": 4.0, "delta1": 0.7},
        }
        return SimpleNamespace(metrics={task: figures[task] for task in config.tasks})

    monkeypatch.setattr(compare_module, "fit", fit)
    output = io.StringIO()
    found = compare(configs, 1, tmp_path, CPU, Console(file=output, width=300), timing=False)
    said = output.getvalue()
    never = "discriminator/both: begins after 300 steps, and the training has 3, so it never acts"
    assert said.index(f"warning critic: {never}") < said.index("1/5 ")
    overview, notes, *_ = grids(found)
    assert overview.heads[-1] == "note"
    assert {row[0]: row[-1] for row in overview.rows} == {"single-task": "", "plain": "", "critic": "1", "faster": "2"}
    assert notes.rows[0][1].startswith(never)
    assert (
        notes.rows[1][1].endswith("train.learning_rate 0.006, reference 0.001") and "| 2 | differs" in notes.markdown()
    )
    plain, critic, faster = json.loads((tmp_path / "comparison.json").read_text())["configurations"]
    assert (plain["doubts"], plain["differs_from_reference"]) == ([], [])
    assert critic["doubts"][0].startswith(never) and critic["differs_from_reference"] == []
    assert faster["differs_from_reference"] == [{"key": "train.learning_rate", "value": 0.006, "reference": 0.001}]


def test_a_table_without_notes_has_no_column_for_them(configs: list[Config], tmp_path: Path) -> None:
    found = compare_module._collect(compare_module.Plan(configs[:1], single_task(configs[:1]), 1, tmp_path), [], {})
    assert len(grids(found)[0].heads) == 6 and all(grid.title != "Notes on these rows" for grid in grids(found))


def test_a_finished_run_tells_its_caveats_again(configs: list[Config], tmp_path: Path) -> None:
    plan = compare_module.Plan(configs, single_task(configs), 1, tmp_path)
    file = plan.run_of(configs[1], 0).run.plan
    file.parent.mkdir()
    file.write_text(json.dumps({"doubts": ["a", "b"], "caveats": ["b"]}))
    assert plan.doubts_of(configs[1]) == ("b",) and plan.doubts_of(configs[0]) == ()


def test_budgets_of_steps_must_agree(configs: list[Config]) -> None:
    other = load_config(configs[0].model_dump(mode="json"), ["train.max_steps=9", "name=other"])
    with pytest.raises(InputError, match=r"train\.max_steps is None in plain and 9 in other"):
        compare_module.check_comparable([configs[0], other])


def test_a_table_too_wide_for_a_terminal_has_rows_for_columns() -> None:
    many = Grid("t", ("trial", *(f"key_{i}" for i in range(9))), (("0", *"123456789"), ("1", *"abcdefghi")))
    turned = many.within(40)
    assert turned.heads == ("trial", "0", "1") and turned.rows[:2] == (("key_0", "1", "a"), ("key_1", "2", "b"))
    assert many.within(200) is many
    tall = Grid("t", ("a word that is long", "b"), tuple((str(i), "x") for i in range(9)))
    assert tall.within(10) is tall, "turned it would be wider"
