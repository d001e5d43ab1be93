"""Partial supervision in a comparison: names, the same labels for all, references that learn from labels alone."""

from pathlib import Path

import pytest
import torch
import yaml
from street_set import TASKS, write_cityscapes

from advmtl.compare import timing
from advmtl.compare.configs import check_comparable, plain_sum, read_configurations, single_task
from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from advmtl.data.batch import Batch
from preprocessing.ground.errors import InputError

CPU = torch.device("cpu")
SMALL = {"encoder": {"weights": None, "width": 0.5}, "generator": {"channels": 8, "crp_stages": 0}}


def make(name: str, **changes: object) -> Config:
    return validate(Config, {"name": name, "tasks": TASKS, **changes}, "test")


def test_single_task_references_and_the_plain_sum_learn_from_labels_alone() -> None:
    config = make("a", partial={"consistency": {}}, growth={}, data={"label_budget": "1:9", "label_seed": 3})
    for reference in (*single_task([config]).values(), plain_sum(config)):
        assert reference.partial is None and reference.growth is None
        assert reference.data == config.data  # the same labels
    assert plain_sum(config).hash == make("x", data={"label_budget": "1:9", "label_seed": 3}).hash


@pytest.mark.parametrize("change", [{"label_budget": "0.5"}, {"label_budget": "one", "label_seed": 1}])
def test_other_labels_are_no_comparison(change: dict[str, object]) -> None:
    first = make("a", data={"label_budget": "one"})
    with pytest.raises(InputError, match=r"data\.label_(budget|seed) is (one|0) in a and (0\.5|1) in b"):
        check_comparable([first, make("b", data=change)])
    check_comparable([first, make("b", partial={"consistency": {}}, data={"label_budget": "one"})])
    taught, data = {"mean_teacher": {}}, {"label_budget": "one", "unlabelled_weight": 2}
    check_comparable([first, make("b", partial=taught, data=data), make("c", partial=taught, data=first.data)])


def test_a_method_is_named_after_itself(tmp_path: Path) -> None:
    path = tmp_path / "street.yaml"
    path.write_text(yaml.safe_dump({"tasks": TASKS}))
    own = f"{path}:partial.consistency={{}}"
    weighed = f"{path}:partial.consistency.weight=2"
    assert [config.name for config in read_configurations([str(path), own, weighed])] == [
        *("street", "street-consistency", "street-weight-2")
    ]


def test_the_hash_names_what_is_asked_for() -> None:
    plain, nothing = make("a"), make("b", partial={})
    assert plain.hash == nothing.hash
    asked = make("c", partial={"consistency": {}})
    assert asked.hash == make("d", partial={"consistency": {}, "adversary": None}).hash != plain.hash
    assert list(asked.computed()["partial"]) == ["consistency"]
    with pytest.raises(InputError, match="are the same experiment"):
        check_comparable([plain, nothing])


def test_methods_are_at_work_when_a_step_is_timed(tmp_path: Path) -> None:
    """A late start is not waited for, no weight moves, and a batch has frames for the method to learn from."""
    write_cityscapes(tmp_path, "train", 8)
    data = {
        **{"train": [{"format": "cityscapes", "root": str(tmp_path), "split": "train"}], "label_budget": "one"},
        **{"size": "64x32", "batch_size": 6, "workers": 0, "cache_mb": 0},
    }
    config = make("a", data=data, partial={"consistency": {"start_step": 900, "width": 4}}, **SMALL)
    state = timing.ready(config, CPU)
    before = {name: value.clone() for name, value in state.terms.state_dict().items()}
    batch = timing._batch(config, CPU, {})
    assert sum(batch.present["depth"]) not in (0, 6)
    timing._timed(state, batch)
    # With moments that are not zero, its optimizer has been at work, at a rate of 0.
    assert state.step == 901 and state.term_optimizers["partial/consistency"].state_dict()["state"]
    assert all(torch.equal(value, before[name]) for name, value in state.terms.state_dict().items())


def test_a_batch_without_labels_is_not_that_of_the_labels_alone(tmp_path: Path) -> None:
    """Of eight frames one is labelled: the plain sum sees it again and again, a method sees the others too."""
    write_cityscapes(tmp_path, "train", 8)
    data = {
        **{"train": [{"format": "cityscapes", "root": str(tmp_path), "split": "train"}], "label_budget": "0.125"},
        **{"size": "64x32", "batch_size": 6, "workers": 0, "cache_mb": 0},
    }
    config = make("a", data=data, partial={"mean_teacher": {}}, **SMALL)
    batches: dict[object, Batch] = {}
    alone, partly = (timing._batch(one, CPU, batches) for one in (plain_sum(config), config))
    assert len(batches) == 2 and all(alone.present["depth"]) and not all(partly.present["depth"])
