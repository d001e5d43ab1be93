"""What the command line says when a training fails for a reason that a user can mend."""

from pathlib import Path

from command_line import advmtl

SMALL = [
    *("encoder.weights=null", "encoder.width=0.5", "generator.channels=8", "generator.crp_stages=1"),
    *("data.size=64x32", "data.batch_size=2", "data.workers=0", "train.panels=0", "train.epochs=1"),
    *("train.learning_rate=1e30", "train.warmup_steps=0", "train.gradient_clip_norm=null"),
]


def test_a_loss_that_is_no_number_is_one_line_true_about_the_checkpoints(streets: Path, tmp_path: Path) -> None:
    arguments = ["train", "demo", "--data", f"cityscapes:{streets}", "--out", tmp_path / "run", *SMALL]
    first = advmtl(*arguments)
    lines = first.stderr.strip().splitlines()
    assert first.exit_code == 1 and len(lines) == 1
    assert lines[0].startswith("error: step ") and "lower train.learning_rate" in lines[0]
    assert lines[0].endswith(f"this state is {tmp_path}/run/checkpoints/failed.pt, no earlier one had been saved")
    last = tmp_path / "run" / "checkpoints" / "last.pt"
    again = advmtl(*arguments, "train.checkpoint_every_steps=1")
    assert again.exit_code == 1 and again.stderr.strip().endswith(f"failed.pt, {last} is the last good one")


def test_an_override_is_named_and_not_the_file() -> None:
    result = advmtl("train", "baseline", "train.epoch=3")
    assert result.exit_code == 2
    assert result.stderr.strip() == "error: override 'train.epoch=3': unknown key; did you mean epochs?"
