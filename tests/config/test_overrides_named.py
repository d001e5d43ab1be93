"""A mistake in an override names the override; one in a file names the file."""

from pathlib import Path

import pytest

from advmtl.config import load_config
from preprocessing.ground.errors import InputError


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["train.epoch=3"], "override 'train.epoch=3': unknown key; did you mean epochs?"),
        (["train={epoch: 3}"], "override 'train={epoch: 3}': train.epoch: unknown key; did you mean epochs?"),
        (["train.epochs=2", "train.epochs=0"], "override 'train.epochs=0': Input should be greater than 0"),
        (["depth.min_m=90"], "override 'depth.min_m=90': depth: min_m 90.0 must be below max_m 80.0"),
        (["tasks.depth.losses.focal=1"], "override 'tasks.depth.losses.focal=1': no such loss; depth has"),
        (
            ["train.rates={encoder:"],  # as a shell hands on train.rates={encoder: 0.1}
            "override 'train.rates={encoder:': '{encoder:' is not readable as YAML; the shell ends it",
        ),
        (["balance.method=none", "seed=1"], "override 'balance.method=none': no 'none'; there are sum,"),
    ],
)
def test_the_override_is_named(overrides: list[str], line: str) -> None:
    with pytest.raises(InputError) as caught:
        load_config("baseline", overrides)
    assert str(caught.value).startswith(line) and "baseline.yaml" not in str(caught.value)


def test_overrides_that_are_wrong_together_are_named_and_not_the_file(tmp_path: Path) -> None:
    path = tmp_path / "right.yaml"
    path.write_text("tasks: {depth: {losses: {berhu: 1, huber: 1}}}\nencoder: {weights: null}\n")
    with pytest.raises(InputError) as caught:
        load_config(path, ["train.epochs=3", "tasks.depth.losses.berhu=0", "tasks.depth.losses.huber=0"])
    assert str(caught.value).startswith(
        "overrides 'tasks.depth.losses.berhu=0', 'tasks.depth.losses.huber=0': tasks.depth.losses: every supervised"
    )
    path.write_text("tasks: {depth: {losses: {berhu: 0}}}\n")
    with pytest.raises(InputError, match=r"right\.yaml: tasks\.depth\.losses: every"):
        load_config(path, ["train.epochs=3"])


def test_a_long_override_loses_its_middle() -> None:
    long = "data.train=[" + ", ".join("{format: folder, root: plain}" for _ in range(9)) + ", {root: last}]"
    with pytest.raises(InputError) as caught:
        load_config("baseline", [long])
    text = str(caught.value)
    assert text.startswith("override 'data.train=[{format: folder") and "{root: last}]': data.train.9.format" in text
    assert len(text) < 150


def test_a_mistake_of_the_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("tasks: {depth: {losses: {berhu: 1}}}\ntrain: {epoch: 3}\n")
    with pytest.raises(InputError, match=r"mine\.yaml: train\.epoch: unknown key"):
        load_config(path, ["train.epochs=3", "seed=1"])
