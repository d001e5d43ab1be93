"""What a comparison is given: overrides for all and for one, names, fairness, single-task references."""

from pathlib import Path

import pytest
import yaml
from street_set import TASKS

from advmtl.compare.configs import check_comparable, folder_name, plain_sum, read_configurations, single_task
from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from preprocessing.ground.errors import InputError

CRITICS = {"both": {"sees": ["segmentation", "depth"], "objective": "hinge"}}


def make(name: str, **changes: object) -> Config:
    return validate(Config, {"name": name, "tasks": TASKS, **changes}, "test")


def refusal(*configs: Config) -> str:
    with pytest.raises(InputError) as caught:
        check_comparable(configs)
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "lr=0.5" / "street.yaml"  # an equals sign in a path makes no override of it
    path.parent.mkdir()
    path.write_text(yaml.safe_dump({"tasks": TASKS, "discriminators": CRITICS}))
    return str(path)


def test_bare_overrides_go_to_all_and_own_ones_win(file: str) -> None:
    arguments = [file, "train.epochs=7", f"{file}:train.epochs=9,train.warmup_steps=3", "train.warmup_steps=4"]
    plain, own = read_configurations(arguments, ["seed=5", "train.epochs=2"])
    assert (plain.name, plain.seed, plain.train.epochs, plain.train.warmup_steps) == ("street", 5, 7, 4)
    assert (own.seed, own.train.epochs, own.train.warmup_steps) == (5, 9, 3)
    assert own.name == "street-epochs-9-warmup_steps-3"


def test_values_may_hold_commas_and_colons(file: str) -> None:
    source = "data.train=[{format: folder, root: a}, {format: folder, root: b}]"
    text = f"{file}:discriminators.both.sees=[image, segmentation, depth],name=sees all"
    (config,) = read_configurations([source, text])
    assert [one.root for one in config.data.train] == ["a", "b"]
    assert config.discriminators["both"].sees == ["image", "segmentation", "depth"] and config.name == "sees all"
    assert folder_name(config.name) == "sees-all"


def test_a_balancer_is_named_after_its_value(file: str) -> None:
    (config,) = read_configurations([f"{file}:balance.method=sum,data.size=64x32"])
    assert config.name == "street-sum-size-64x32"


def test_no_configuration_and_a_wrong_key_are_told() -> None:
    with pytest.raises(InputError, match="name a configuration"):
        read_configurations(["train.epochs=7"])
    with pytest.raises(InputError, match=r"train\.epoch"):
        read_configurations(["baseline:train.epoch=7"])


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"train": {"epochs": 9}}, "train.epochs is 60 in a and 9 in b"),
        ({"data": {"size": "64x32"}}, "data.size is 512x256 in a and 64x32 in b"),
        ({"data": {"batch_size": 3}}, "data.batch_size"),
        ({"data": {"val": [{"format": "folder", "root": "x"}]}}, "data.val"),
        ({"depth": {"max_m": 50}}, "depth.max_m"),
    ],
)
def test_another_budget_or_other_data_is_no_comparison(change: dict[str, object], key: str) -> None:
    assert key in refusal(make("a"), make("b", **change))


def test_what_may_differ_does() -> None:
    check_comparable([make("a"), make("b", train={"learning_rate": 0.5}), make("c", discriminators=CRITICS)])


def test_names_are_told_apart_and_twins_refused() -> None:
    assert "are the same experiment" in refusal(make("a"), make("b"))
    assert "two configurations are named" in refusal(make("a b"), make("a-b", train={"learning_rate": 0.5}))
    assert "cannot be used here" in refusal(make("single-task"))
    assert "cannot be used here" in refusal(make("/"))


def test_single_task_keeps_everything_but_the_other_tasks_and_the_critics() -> None:
    tasks = {"segmentation": {"losses": {"dice": 2}, "weight": 3}, "depth": {"losses": {"berhu": 1}}}
    first = make("a", tasks=tasks, discriminators=CRITICS, train={"epochs": 3}, data={"size": "64x32"}, seed=4)
    singles = single_task([first, make("b", seed=4)])
    assert list(singles) == ["segmentation", "depth"] and singles["depth"].name == "single_depth"
    one = singles["segmentation"]
    assert list(one.tasks) == ["segmentation"] and one.tasks["segmentation"] == first.tasks["segmentation"]
    assert (one.train, one.data, one.seed, one.discriminators) == (first.train, first.data, 4, {})
    assert one.balance.method == "sum"


def test_a_task_that_only_a_later_configuration_has_gets_its_reference_too() -> None:
    depth_only = make("d", tasks={"depth": {"losses": {"huber": 1}}})
    singles = single_task([depth_only, make("both")])
    assert list(singles) == ["depth", "segmentation"]
    assert singles["depth"].hash == depth_only.hash and "huber" in singles["depth"].tasks["depth"].losses


def test_the_name_of_a_reference_is_free_for_itself_only() -> None:
    both = make("both")
    twin = make("single_depth", tasks={"depth": TASKS["depth"]})
    assert single_task([both, twin])["depth"].hash == twin.hash
    other = make("single_depth", tasks={"depth": {"losses": {"huber": 1}}})
    with pytest.raises(InputError, match="taken by the single-task reference"):
        single_task([both, other])


def test_plain_sum_has_neither_critic_nor_balancer() -> None:
    plain = plain_sum(make("a", discriminators=CRITICS, balance={"multi_task_row": "folded"}))
    assert plain.hash == make("x").hash
