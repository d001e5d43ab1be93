"""Small pictures first: what a step is shown, at which rate, and that a resume keeps to it."""

import json
from pathlib import Path

import pytest
import torch
from same_bits import assert_equal
from tiny_run import make_config, quiet

import advmtl.training.loop
from advmtl.config.typed import validate
from advmtl.data.batch import Batch
from advmtl.tasks import TASKS
from advmtl.terms.domain_adversary import _of_size
from advmtl.training.checkpoint import load_checkpoint
from advmtl.training.fitting import fit
from advmtl.training.optimizers import learning_rate_factor
from advmtl.training.state import State

CPU = torch.device("cpu")


class _PulledPlugError(Exception):
    """Stands for a power loss."""


def batch_of(**targets: torch.Tensor) -> Batch:
    frames = len(next(iter(targets.values())))
    image = torch.arange(frames * 3 * 4 * 6, dtype=torch.float32).view(frames, 3, 4, 6)
    present = {name: [True] * frames for name in targets}
    return Batch(image, dict(targets), present, [str(i) for i in range(frames)])


def test_halved_frames_by_hand() -> None:
    """Pictures are averaged, classes and metres picked, lengths in pixels halved, ids kept."""
    classes = torch.arange(24).view(1, 4, 6)
    instance = torch.stack([torch.full((4, 6), 8.0), torch.full((4, 6), -6.0), torch.arange(24.0).view(4, 6)])[None]
    batch = batch_of(segmentation=classes, depth=classes[:, None].float(), instance=instance)
    half = batch.halved(TASKS)
    assert half.image.shape == (1, 3, 2, 3)
    assert half.image[0, 0, 0, 0] == pytest.approx((0 + 1 + 6 + 7) / 4)
    assert half.targets["segmentation"].tolist() == [[[0, 2, 4], [12, 14, 16]]]
    assert half.targets["depth"].tolist() == [[[[0, 2, 4], [12, 14, 16]]]]
    assert half.targets["instance"][0, :, 1, 2].tolist() == [4, -3, 16]
    assert batch.image.shape == (1, 3, 4, 6)  # the batch itself stays


def test_a_frame_has_the_label_of_which_something_is_left() -> None:
    """The only pixels with a class, with a depth, stand where none is picked, in the first frame; the second keeps."""
    classes, depth = torch.full((2, 4, 6), 255), torch.zeros(2, 1, 4, 6)
    classes[0, 1, 1], classes[1, 2, 4] = 3, 3
    depth[0, 0, 0, 1], depth[1, 0, 0, 0] = 9.0, 9.0
    half = batch_of(segmentation=classes, depth=depth).halved(TASKS)
    assert half.present == {"segmentation": [False, True], "depth": [False, True]}


def test_the_rate_is_whole_for_small_pictures_and_falls_over_the_others(streets: Path) -> None:
    config = make_config(streets, small_share=0.4, warmup_steps=0, schedule="poly")
    rates = [learning_rate_factor(step, 10, config) for step in range(11)]
    assert rates[:5] == [1] * 5
    assert rates[7] == pytest.approx(0.5**0.9) and rates[10] == 0
    plain = make_config(streets, warmup_steps=0)
    assert learning_rate_factor(5, 10, plain) == pytest.approx(0.5**0.9)


def test_the_first_steps_see_half_and_a_resume_gives_the_same_bits(
    streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six steps, of which three are small; stopped before the third and continued from after the second."""
    config, seen, step = make_config(streets, critic=False, small_share=0.5), [], advmtl.training.loop.train_step

    def noted(state: State, batch: Batch, *, statistics: bool = False) -> dict[str, torch.Tensor]:
        seen.append(tuple(batch.image.shape[2:]))
        if len(seen) == 9:
            raise _PulledPlugError
        return step(state, batch, statistics=statistics)

    monkeypatch.setattr(advmtl.training.loop, "train_step", noted)
    fit(config, tmp_path / "whole", CPU, quiet())
    assert seen == [(16, 32)] * 3 + [(32, 64)] * 3
    every = config.model_copy(update={"train": config.train.model_copy(update={"checkpoint_every_steps": 1})})
    with pytest.raises(_PulledPlugError):
        fit(every, tmp_path / "resumed", CPU, quiet())
    fit(every, tmp_path / "resumed", CPU, quiet())
    assert seen[6:] == [(16, 32)] * 3 + [(16, 32)] + [(32, 64)] * 3  # the step that was not finished is taken again
    (a, _), (b, _) = (load_checkpoint(tmp_path / name / "checkpoints" / "last.pt") for name in ("whole", "resumed"))
    assert_equal(a, b)


@pytest.mark.parametrize(
    "partial",
    [
        {"adversary": {"transform": "flip", "agreement": 0.2}},
        {"adversary": {"scale": 2, "channels": 4, "layers": 2}},
        {"consistency": {"width": 4, "ramp_steps": 0}},
        {"mean_teacher": {"start_step": 0, "ramp_steps": 1}},
        {"mean_teacher": {"start_step": 0, "ramp_steps": 1, "mix": "class"}, "adversary": {"align": "both"}},
    ],
    ids=lambda partial: "+".join(partial),
)
def test_partial_supervision_learns_from_pictures_of_both_sizes(
    streets: Path, tmp_path: Path, partial: dict[str, dict[str, object]]
) -> None:
    """What is remembered of small frames, the adversary's holes, serves large ones; the terms act at both sizes."""
    values = make_config(streets, critic=False, small_share=0.5).model_dump(mode="json")
    values["partial"], values["data"]["label_budget"] = partial, "one"
    config = validate(type(make_config(streets)), values, "test")
    fit(config, tmp_path / "run", CPU, quiet())
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    steps = [row for row in rows if row["kind"] == "train"]
    assert len(steps) == 6
    for name in partial:
        acting = [any(key.startswith(f"partial/{name}") for key in row) for row in steps]
        assert any(acting[:3]) and any(acting[3:]), f"{name}: {acting}"


def test_masks_of_half_the_size_by_hand() -> None:
    half = torch.tensor([[[[True, False, True]]]])
    full = _of_size(half, torch.empty(8, 1, 2, 6))
    assert full.shape == (1, 1, 2, 6) and full[0, 0, 1].tolist() == [True, True, False, False, True, True]
    assert torch.equal(_of_size(full, half), half)


def test_what_cannot_be_halved_is_refused(streets: Path) -> None:
    values = make_config(streets).model_dump(mode="json")
    values["data"]["crop"] = "63x32"
    values["train"]["small_share"] = 0.3
    with pytest.raises(ValueError, match=r"train.small_share: 63x32 cannot be halved"):
        validate(type(make_config(streets)), values, "test")


def test_the_rest_sees_half_every_so_many_steps(streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of six steps the first is small by its share, the fourth by its number."""
    config, seen, step = (
        make_config(streets, critic=False, small_share=0.1, small_every=3),
        [],
        advmtl.training.loop.train_step,
    )

    def noted(state: State, batch: Batch, *, statistics: bool = False) -> dict[str, torch.Tensor]:
        seen.append(batch.image.shape[2])
        return step(state, batch, statistics=statistics)

    monkeypatch.setattr(advmtl.training.loop, "train_step", noted)
    fit(config, tmp_path / "run", CPU, quiet())
    assert seen == [16, 32, 32, 16, 32, 32]
    assert config.train.half_size_share == pytest.approx(0.1 + 0.9 / 3)
