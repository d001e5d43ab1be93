"""Finding configuration files, and overrides on the command line."""

from pathlib import Path

import pytest

from advmtl.config.files import config_folders, find_config, load_config
from preprocessing.ground.errors import InputError


def test_overrides_reach_nested_keys_and_numbers_written_like_1e_minus_3() -> None:
    config = load_config("baseline", ["train.learning_rate=1e-3", "data.size=320x160", "encoder.weights=null"])
    assert config.train.learning_rate == 1e-3 and config.data.size == (320, 160) and config.encoder.weights is None
    assert config.tasks["depth"].losses == load_config("baseline").tasks["depth"].losses


def test_keys_may_begin_where_a_runs_own_configuration_says_null() -> None:
    whole = load_config("baseline").model_dump(mode="json")
    assert whole["partial"] is None and whole["init"] is None
    config = load_config(whole, ["partial.mean_teacher.start_step=7", "init.part=encoder", "init.weights=a.pt"])
    assert config.partial is not None and config.partial.mean_teacher is not None
    assert config.partial.mean_teacher.start_step == 7 and config.init is not None and config.init.part == "encoder"


@pytest.mark.parametrize("text", ["train.epochs", "=3", "train..epochs=3", "name.x=1"])
def test_a_malformed_override_is_named(text: str) -> None:
    with pytest.raises(InputError, match="override"):
        load_config("baseline", [text])


def test_unknown_name_lists_the_names_there_are() -> None:
    with pytest.raises(
        InputError, match=r"no such file or name; did you mean model3\? there are baseline, camvid, demo"
    ):
        find_config("modell3")


def test_unreadable_yaml_names_the_file(tmp_path: Path) -> None:
    for text in ("a: [1", "- 1\n- 2\n"):
        (tmp_path / "x.yaml").write_text(text)
        with pytest.raises(InputError, match=r"x\.yaml"):
            load_config(str(tmp_path / "x.yaml"))


def test_configs_folder_is_found() -> None:
    assert all((folder / "model3.yaml").is_file() for folder in config_folders()) and config_folders()
