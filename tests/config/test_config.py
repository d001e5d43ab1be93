"""Configurations: every file loads, round-trips, and each mistake is one line that names the key."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from advmtl.config.data import Source
from advmtl.config.experiment import Config
from advmtl.config.files import load_config
from advmtl.config.typed import parse_size, validate
from preprocessing.ground.errors import InputError

MINIMAL = {"tasks": {"segmentation": {"losses": {"cross_entropy": 1}}}}
FILES = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_loads_by_name_and_round_trips(path: Path) -> None:
    config = load_config(path.stem)
    assert config.name == path.stem
    again = validate(Config, yaml.safe_load(config.to_yaml()), "again")
    assert again == config and again.hash == config.hash


# Table 1 of the system paper (docs/method.md): objectives of segmentation, depth, multi-task; smoothness; combined.
TABLE_1 = {
    "model1": ("lsgan", "lsgan", "lsgan", True, False),
    "model2": ("hinge", "hinge", "hinge", False, True),
    "model3": ("hinge", "hinge", "wgan_gp", False, True),
    "model4": ("wgan_gp", "wgan_gp", "wgan_gp", False, True),
}


@pytest.mark.parametrize("name", TABLE_1)
def test_the_four_models_are_those_of_table_1(name: str) -> None:
    config = load_config(name)
    critics = config.discriminators
    smooth = config.tasks["depth"].losses.get("smoothness", 0) > 0
    found = tuple(critics[k].objective for k in ("segmentation", "depth", "multi_task"))
    assert (*found, smooth, critics["multi_task"].weight > 0) == TABLE_1[name]
    assert critics["multi_task"].sees == ["segmentation", "depth"]
    for task, losses in (("segmentation", ("cross_entropy", "dice")), ("depth", ("scale_invariant", "berhu"))):
        assert all(config.tasks[task].losses[loss] > 0 for loss in (*losses, "perceptual"))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"trian": {}}, "trian: unknown key; did you mean train?"),
        ({"train": {"epoch": 3}}, "train.epoch: unknown key; did you mean epochs?"),
        ({"train": {"epochs": "many"}}, "train.epochs: Input should be a valid integer"),
        ({"train": {"epochs": 0}}, "train.epochs: Input should be greater than 0"),
        ({"train": {"learning_rate": float("nan")}}, "train.learning_rate"),
        ({"data": {"size": "512"}}, "data.size: '512' is no size; write WIDTHxHEIGHT"),
        ({"data": {"size": "16x512"}}, "too small"),
        ({"data": {"size": 512}}, "data.size: 512 is no size; write WIDTHxHEIGHT"),
        ({"data": {"size": ["a", "b"]}}, "is no size"),
        (
            {"discriminators": {"a.b": {"sees": ["segmentation"], "objective": "hinge"}}},
            "discriminators.a.b: a name has letters",
        ),
        ({"depth": {"min_m": 90}}, "depth: min_m 90.0 must be below max_m 80.0"),
        ({"tasks": {"colour": {"losses": {}}}}, "tasks.colour"),
        ({"tasks": {"depth": {"losses": {"dice": 1}}}}, "tasks.depth.losses.dice: no such loss"),
        ({"tasks": {"depth": {"losses": {"perceptual": 1}}}}, "nothing would be learnt"),
        (
            {"tasks": {"depth": {"losses": {"berhu": 1}, "options": {"berhu": {"lam": 0.5}}}}},
            "tasks.depth.options.berhu.lam: berhu has no such option",
        ),
        ({"tasks": {"instance": {"losses": {"perceptual": 1}}}}, "tasks.instance.losses.perceptual: no such loss"),
        (
            {"tasks": {"instance": {"losses": {"l1": 1}, "options": {"l1": {"delta": 2}}}}},
            "tasks.instance.options.l1.delta: l1 has no such option",
        ),
        ({"discriminators": {"d": {"sees": ["depth"], "objective": "hinge"}}}, "depth is not among the tasks"),
        ({"discriminators": {"d": {"sees": ["image"], "objective": "hinge"}}}, "names no task map"),
        ({"discriminators": {"d": {"sees": ["image"], "objective": "bce"}}}, "discriminators.d.objective"),
        ({"balance": {"method": "pcgrads"}}, "balance.method: no 'pcgrads'; there are sum, mean,"),
        ({"balance": {"method": "cagrad", "options": {"d": 1}}}, "balance.options.d: unknown; cagrad has c"),
        ({"balance": {"method": "fairgrad"}}, "balance.options.alpha: is required; fairgrad has alpha, max_iters"),
        ({"balance": {"at": "z"}}, "balance.at: Input should be 'representation' or 'parameters'"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(values: dict, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        validate(Config, {**MINIMAL, **values}, "my.yaml")
    message = str(caught.value)
    assert message.startswith("my.yaml: ") and expected in message and "\n" not in message


def test_hash_differs_with_any_value_that_shapes_the_result() -> None:
    assert load_config("baseline").hash != load_config("baseline", ["seed=1"]).hash
    assert load_config("baseline").hash == load_config("baseline", ["data.workers=0", "name=x"]).hash


def test_rows_are_the_tasks_and_the_critics_that_have_one() -> None:
    assert load_config("model3").objectives == ["segmentation", "depth"]
    own = "balance.multi_task_row=own"
    assert load_config("model3", [own]).objectives == ["segmentation", "depth", "adversarial/multi_task"]
    assert load_config("model3", [own]).hash != load_config("model3").hash
    assert load_config("model1", [own]).hash == load_config("model1").hash
    assert load_config("model1", [own]).objectives == ["segmentation", "depth"]  # its multi-task critic has weight 0


@pytest.mark.parametrize("nothing", [{}, {"mean_teacher": None}, {"adversary": None, "consistency": None}])
def test_a_section_that_asks_for_nothing_is_none(nothing: dict[str, None]) -> None:
    tasks = {"depth": {"losses": {"berhu": 1}}}
    config = validate(Config, {"tasks": tasks, "partial": nothing}, "test")
    assert config.partial is None and config == validate(Config, {"tasks": tasks}, "test")
    assert validate(Config, {"tasks": tasks, "partial": {"mean_teacher": {}}}, "test").partial is not None
    assert load_config("model1", ["partial.mean_teacher.weight=1", "partial.mean_teacher=null"]).partial is None


def test_source_on_the_command_line() -> None:
    source = Source.parse("cityscapes:../data/streets:val")
    assert (source.format, source.root, source.split) == ("cityscapes", "../data/streets", "val")
    assert Source.parse("folder:pictures").split is None
    for text in ("cityscapes", "a:b:c:d", "camvid::val"):
        with pytest.raises(InputError, match="data source"):
            Source.parse(text)


def test_size_is_width_then_height() -> None:
    assert parse_size("512x256") == (512, 256)
    assert parse_size("640×192") == (640, 192)
    for slip in ("100000x50", "512x25600"):
        with pytest.raises(ValueError, match="too large; both sides have 16384 px at most"):
            parse_size(slip)


def test_configurations_need_no_torch() -> None:
    code = "import sys; import advmtl.config.files; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_options_that_were_written_as_null_are_not_given() -> None:
    """Configurations of the first runs name all options of a loss; they are the same runs."""
    old = {"depth": {"losses": {"berhu": 1}, "options": {"berhu": {"space": "log", "lam": None, "epsilon": None}}}}
    new = {"depth": {"losses": {"berhu": 1}, "options": {"berhu": {"space": "log"}}}}
    first, then = (validate(Config, {"tasks": tasks}, "test") for tasks in (old, new))
    assert first == then and first.hash == then.hash
    assert first.computed()["tasks"]["depth"]["options"]["berhu"].keys() == {"space", "lam", "delta", "epsilon"}
    other = validate(Config, {"tasks": {"depth": {"losses": {"berhu": 1}}}}, "test")
    assert other.hash != then.hash


def test_a_hash_still_names_the_runs_of_before() -> None:
    """Both are of the version before sources could say more: a new key at its default must not rename runs."""
    sources = [
        "data.train=[{format: cityscapes, root: x, split: train, frames: [0, 5], hfov_deg: 50}]",
        "data.val=[{format: folder, root: y, depth: prepared}]",
    ]
    assert load_config("demo", sources).hash == "0fe97c7742c4"
    assert load_config("model3", sources).hash == "1da8cda3fbbe"


def test_what_a_source_says_changes_the_hash() -> None:
    plain = "{format: folder, root: y"
    said = ["", ", bits: 12", ", list: a.txt", ", part: val", ", depth: {unit: mm}", ", classes: camvid11"]
    hashes = {load_config("demo", [f"data.train=[{plain}{more}}}]"]).hash for more in said}
    assert len(hashes) == len(said)


def test_a_width_for_each_level() -> None:
    """Four numbers, finest first, of which z has the first; one number names the runs that it always named."""
    levels = load_config("baseline", ["generator.channels=[32, 64, 64, 64]"])
    assert (levels.generator.z_channels, load_config("baseline").generator.z_channels) == (32, 64)
    assert levels.hash == load_config("fast").hash != load_config("baseline").hash
    assert load_config("baseline", ["generator.channels=64"]).hash == load_config("baseline").hash
    for wrong in ("[32, 64]", "[32, 64, 64, 0]"):
        with pytest.raises(InputError, match=r"generator\.channels"):
            load_config("baseline", [f"generator.channels={wrong}"])
