"""First weights from another run: all that fits is taken, what stays new is told, and the source is recorded."""

import json
from pathlib import Path

import pytest
import torch
from rich.console import Console
from tiny_run import CPU, make_config

import advmtl
from advmtl.config import Config, load_config
from advmtl.networks import build_encoder
from advmtl.training import build, fit, save_checkpoint, with_init
from advmtl.training.initial import text_of
from advmtl.training.run_folder import Run
from preprocessing.ground import InputError, sha256_of

LOSSES = {"segmentation": {"cross_entropy": 1, "perceptual": 0}, "depth": {"berhu": 1, "perceptual": 0}}


def config_of(*overrides: str, tasks: tuple[str, ...] = ("segmentation", "depth")) -> Config:
    values = {
        "tasks": {name: {"losses": LOSSES[name]} for name in tasks},
        "encoder": {"weights": None, "width": 0.5},
        "generator": {"channels": 8, "crp_stages": 1},
        "data": {"size": "64x32"},
    }
    return load_config(values, overrides)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder whose average differs from its weights, at epoch 4."""
    folder = tmp_path_factory.mktemp("source") / "run"
    state = build(config_of("seed=7"), CPU)
    for value in state.ema.state_dict().values():
        if value.is_floating_point():
            value.add_(0.25)
    state.step, state.epoch = 12, 4
    save_checkpoint(Run(folder).best, state.state_dict(), state.config)
    return folder


def test_all_of_the_same_network_is_taken_by_generator_and_average(source: Path) -> None:
    state = build(with_init(config_of(), source), CPU)
    average = torch.load(source / "checkpoints" / "best.pt", weights_only=True)["state"]["ema"]
    for network in (state.generator, state.ema):
        for name, value in network.state_dict().items():
            assert torch.equal(value, average[name]), name
    assert state.step == 0 and not state.optimizer.state_dict()["state"]
    init = state.record.init
    assert init["file"] == str(source / "checkpoints" / "best.pt") and init["sha256"] == sha256_of(init["file"])
    assert (init["epoch"], init["step"], init["weights"], init["new"]) == (4, 12, "average", {})
    assert text_of(init).endswith("new: none") and f"{len(average)} tensors taken" in text_of(init)


@pytest.mark.parametrize(
    ("overrides", "new"),
    [
        (["data.classes=categories7"], {"heads.segmentation": "its last layer: 19 classes road,"}),
        (
            ["depth.max_m=40"],
            {"heads.depth": "its last layer: depth from 0.5 to 160 m there, depth from 0.5 to 80 m here"},
        ),
        (["data.size=96x32"], {}),
        (["generator.channels=12"], dict.fromkeys(("decoder", "heads.segmentation", "heads.depth"), "8×")),
        (["init.part=encoder"], dict.fromkeys(("decoder", "heads.segmentation", "heads.depth"), "init.part")),
    ],
)
def test_what_does_not_fit_stays_new_and_is_told(overrides: list[str], new: dict[str, str], source: Path) -> None:
    config = config_of(f"init.weights={source}", *overrides)
    found = build(config, CPU).record.init
    assert found["new"].keys() == new.keys()
    for part, reason in new.items():
        assert reason in found["new"][part] and f"{part} ({found['new'][part]})" in text_of(found)
    assert found["taken"]["encoder"][0] == found["taken"]["encoder"][1] > 100


def test_a_new_last_layer_is_that_of_a_run_without_first_weights(source: Path) -> None:
    config = config_of("data.classes=categories7")
    fresh, begun = (build(one, CPU).generator for one in (config, with_init(config, source)))
    name = "heads.segmentation.{}.weight"
    assert torch.equal(fresh.state_dict()[name.format("emit")], begun.state_dict()[name.format("emit")])
    assert not torch.equal(fresh.state_dict()[name.format("refine.0")], begun.state_dict()[name.format("refine.0")])


def test_tasks_that_are_not_there_and_tasks_that_are_not_wanted(source: Path, tmp_path: Path) -> None:
    found = build(with_init(config_of(tasks=("depth",)), source), CPU).record.init
    assert found["left_out"] == ["heads.segmentation"] and "not used: heads.segmentation" in text_of(found)
    state = build(config_of(tasks=("depth",)), CPU)
    save_checkpoint(tmp_path / "depth.pt", state.state_dict(), state.config)
    found = build(with_init(config_of(), tmp_path / "depth.pt"), CPU).record.init
    assert found["new"] == {"heads.segmentation": "not there"} and found["left_out"] == []


def test_files_of_tensors_of_a_generator_and_of_an_encoder(source: Path, tmp_path: Path) -> None:
    generator = build(config_of("seed=9"), CPU).generator
    torch.save(generator.state_dict(), tmp_path / "generator.pt")
    torch.save(generator.encoder.state_dict(), tmp_path / "encoder.pt")
    whole = build(with_init(config_of(), tmp_path / "generator.pt"), CPU)
    part = build(with_init(config_of(), tmp_path / "encoder.pt"), CPU)
    weight = "encoder.features.1.block.0.0.weight"
    for state in (whole, part):
        assert torch.equal(state.ema.state_dict()[weight], generator.state_dict()[weight])
    assert whole.record.init["new"] == {} and set(part.record.init["taken"]) == {"encoder"}


@pytest.mark.parametrize("file", ["", "checkpoints/best.pt"])
def test_the_encoder_of_a_run_as_encoder_weights(file: str, source: Path) -> None:
    average = torch.load(source / "checkpoints" / "best.pt", weights_only=True)["state"]["ema"]
    encoder = build_encoder(str(source / file), width=0.5)
    for name, value in encoder.state_dict().items():  # type: ignore[attr-defined]
        assert torch.equal(value, average[f"encoder.{name}"])


def test_what_gives_nothing_is_one_line(source: Path, tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pt")
    wider = build(config_of("encoder.width=1.0"), CPU).generator.encoder
    torch.save(wider.state_dict(), tmp_path / "wider.pt")  # type: ignore[attr-defined]
    cases = {
        str(source): (
            ["encoder.width=1.0"],
            r"best\.pt: encoder\.width is 0\.5 there and 1\.0 here, .*encoder\.width=0",
        ),
        str(tmp_path / "none"): ([], "no such run folder, checkpoint or file of tensors"),
        str(tmp_path / "other.pt"): (
            [],
            r"does not fit the encoder mobilenet_v3_small of width 0\.5 \(encoder\.features",
        ),
        str(tmp_path / "wider.pt"): ([], r"0\.5 \(encoder\.features\.1\.\S+: \d+×\d+×1×1 there, \d+×\d+×1×1 here\)"),
    }
    for weights, (overrides, said) in cases.items():
        with pytest.raises(InputError, match=rf"^init\.weights: .*{said}") as caught:
            build(config_of(*overrides, f"init.weights={weights}"), CPU)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"init: part: Input should be 'whole' or 'encoder'"):
        with_init(config_of(), source, "decoder")


def test_a_run_that_begins_so_tells_and_records_it_and_resumes_without_the_source(
    streets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = make_config(streets, critic=False, panels=0, epochs=1)
    first = build(config, CPU)
    save_checkpoint(tmp_path / "first.pt", first.state_dict(), config)
    begun = with_init(config, tmp_path / "first.pt")
    assert begun.hash != config.hash and config_of().hash == load_config(config_of().model_dump(mode="json")).hash
    run = Run(tmp_path / "run")
    fit(begun, run.folder, CPU, Console(width=400))
    assert "init: " in capsys.readouterr().out
    assert json.loads((run.folder / "run.json").read_text())["init"]["file"] == str(tmp_path / "first.pt")
    (tmp_path / "first.pt").unlink()
    fit(load_config(run.folder), run.folder, CPU, Console(width=400))
    assert "init: " not in capsys.readouterr().out
    with pytest.raises(InputError, match=r"holds another run \(init is .* there and None here\)"):
        fit(config, run.folder, CPU, Console(quiet=True))


def test_the_library_begins_with_other_weights(source: Path) -> None:
    state = advmtl.build(config_of(), init=source, init_part="encoder", device="cpu")
    assert set(state.record.init["taken"]) == {"encoder"}
    with pytest.raises(InputError, match="give init to build"):
        advmtl.fit(state, init=source)
