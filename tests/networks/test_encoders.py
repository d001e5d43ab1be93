"""advmtl.networks.encoders: the table, timm's networks by name, and what is refused."""

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torch.nn.functional as F
from some_tasks import generator_of
from street_set import TASKS, config, write_cityscapes
from torch import Tensor, nn
from torchvision.models import MobileNet_V3_Large_Weights, mobilenet_v3_large

from advmtl.config.experiment import Config
from advmtl.config.growth import Place
from advmtl.config.typed import validate
from advmtl.networks.batch_norm import FrozenBatchNorm2d, set_batch_norm
from advmtl.networks.encoders import ENCODERS, Encoder, Growable, build_encoder, check_encoder, growable
from advmtl.networks.grown import grow
from advmtl.training.checkpoint import load_generator, save_checkpoint
from advmtl.training.state import build, generator_from
from preprocessing.ground.errors import InputError

timm = pytest.importorskip("timm", reason="timm, of the extra timm, is not installed")
NAMES = ["mobilenet_v3_large", "mobilenetv4_conv_small", "resnet18", "efficientnet_lite0"]
CPU = torch.device("cpu")


class Pyramid(nn.Module):
    """Somebody else's encoder: four plain convolutions."""

    def __init__(self, strides: tuple[int, ...] = (4, 8, 16, 32), channels: tuple[int, ...] = (6, 8, 10, 12)) -> None:
        super().__init__()
        self.strides, self.channels = strides, channels
        self.first = nn.Conv2d(3, 6, 3, 4, 1)
        self.others = nn.ModuleList(nn.Conv2d(a, a + 2, 3, 2, 1) for a in (6, 8, 10))

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = [self.first(image)]
        for one in self.others:
            maps.append(one(F.relu(maps[-1])))
        return maps


@pytest.mark.parametrize("name", NAMES)
def test_maps_have_the_strides_and_channels_told(name: str) -> None:
    encoder = build_encoder(name=name, bn_momentum=0.25)
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms and {norm.momentum for norm in norms} == {0.25} and {type(norm) for norm in norms} == {nn.BatchNorm2d}
    maps = encoder(torch.randn(2, 3, 97, 163))
    sides = [(-(-97 // stride), -(-163 // stride)) for stride in (4, 8, 16, 32)]
    assert [tuple(m.shape) for m in maps] == [
        (2, count, *side) for count, side in zip(encoder.channels, sides, strict=True)
    ]
    assert isinstance(encoder, Growable)
    stages = encoder.stage_parameters()
    assert sum(map(len, stages)) == len(list(encoder.parameters())) and all(stages)
    for number, one in enumerate(maps):  # a stage's own parameters move its tap and none before it
        after = [parameter for stage in stages[number + 1 :] for parameter in stage]
        found = torch.autograd.grad(one.sum(), [*stages[number], *after], retain_graph=True, allow_unused=True)
        assert [gradient is not None for gradient in found] == [True] * len(stages[number]) + [False] * len(after)


def test_large_equals_torchvision_and_takes_its_weights(tmp_path: Path) -> None:
    torch.manual_seed(1)
    published = mobilenet_v3_large(weights=None).eval()
    torch.save(published.state_dict(), tmp_path / "large.pth")
    encoder = build_encoder(str(tmp_path / "large.pth"), name="mobilenet_v3_large").eval()  # type: ignore[attr-defined]
    assert encoder.channels == (24, 40, 112, 160)
    image = torch.randn(1, 3, 64, 48)
    with torch.no_grad():
        x, maps = image, encoder(image)
        for index, block in enumerate(published.features[:16]):
            x = block(x)
            if index in (3, 6, 12, 15):
                torch.testing.assert_close(maps[(3, 6, 12, 15).index(index)], x, rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="does not fit"):
        build_encoder(str(tmp_path / "large.pth"))


@pytest.mark.slow
def test_timm_gives_what_timm_gives_split_norms_or_not(tmp_path: Path) -> None:
    """From the file of a whole network, of its features, as pickle or safetensors; in training and evaluation."""
    from safetensors.torch import save_file

    torch.manual_seed(2)
    for name in ("efficientnet_lite0", "repvgg_a0"):
        whole = timm.create_model(name).eval()
        for module in whole.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.2, 0.2)
        state = {key: value.clone() for key, value in whole.state_dict().items()}
        head = ("head.", "classifier.", "conv_head.", "bn2.")
        torch.save(state, tmp_path / "whole.pth")
        save_file(state, tmp_path / "whole.safetensors")
        torch.save({k: v for k, v in state.items() if not k.startswith(head)}, tmp_path / "features.pth")
        image = torch.randn(2, 3, 64, 96).double()
        for file in ("whole.pth", "whole.safetensors", "features.pth"):
            whole.load_state_dict(state)
            encoder = build_encoder(str(tmp_path / file), name=name).double()  # type: ignore[attr-defined]
            for training in (False, True):
                encoder.train(training)
                whole.double().train(training)
                with torch.no_grad():
                    last = whole.forward_intermediates(image, indices=1, intermediates_only=True)[-1]
                    torch.testing.assert_close(encoder(image)[-1], last)
            whole.float()


@pytest.mark.parametrize("fault", ["partial", "other", "wrong shape"])
def test_a_partial_or_wrong_file_is_refused(tmp_path: Path, fault: str) -> None:
    state = timm.create_model("resnet18").state_dict()
    if fault == "partial":
        del state["layer2.0.conv1.weight"]
    elif fault == "other":
        state["layer9.weight"] = torch.zeros(1)
    else:
        state["layer2.0.conv1.weight"] = torch.zeros(3)
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(InputError, match=r"encoder\.weights: .*weights\.pth does not fit.*layer[29]") as caught:
        build_encoder(str(tmp_path / "weights.pth"), name="resnet18")
    assert "\n" not in str(caught.value)


def test_other_normalisation_is_undone(tmp_path: Path) -> None:
    """Weights trained on pictures of mean and deviation 0.5 see such pictures; ours are ImageNet-normalised."""
    torch.manual_seed(0)
    encoder = build_encoder(name="tf_efficientnet_lite0").eval()  # type: ignore[attr-defined]
    rgb = torch.rand(1, 3, 64, 96)
    ours = (rgb - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    with torch.no_grad():
        for a, b in zip(encoder(ours), encoder.network((rgb - 0.5) / 0.5)[-4:], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    assert {"factor", "shift"} <= encoder.state_dict().keys()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vit_tiny_patch16_224", r"encoder vit_tiny_patch16_224: has maps at strides 16, 16, 16; .*4, 8, 16, 32"),
        ("levit_128s", r"encoder levit_128s: has maps at strides 16, 32, 64"),
        ("swin_tiny_patch4_window7_224", r"encoder swin_\w+: gives no maps of a 96x64 picture"),
        ("mobilenet_v3_smal", r"none of mobilenet_v3_small, .*near: mobilenet_v3_small"),
    ],
)
def test_other_networks_are_refused_in_a_line(name: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        build_encoder(name=name)
    assert "\n" not in str(caught.value)


def test_without_timm_its_networks_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advmtl.networks.encoders.timm.importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"resnet18 is none of .*not installed; pip install 'advmtl\[timm\]'"):
        build_encoder(name="resnet18")


def test_published_weights_offline_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("no route")

    create = timm.create_model
    monkeypatch.setattr(
        timm, "create_model", lambda *a, pretrained=False, **k: offline() if pretrained else create(*a, **k)
    )
    with pytest.raises(
        InputError, match=r"encoder\.weights: timm's weights of resnet18 \(timm/resnet18.*no route.*null"
    ):
        build_encoder("imagenet", name="resnet18")
    monkeypatch.setattr(MobileNet_V3_Large_Weights, "get_state_dict", offline)
    with pytest.raises(InputError, match=r"mobilenet_v3_large-5c1a4163\.pth is not cached"):
        build_encoder("imagenet", name="mobilenet_v3_large")
    with pytest.raises(InputError, match=r"encoder\.width: resnet18 has width 1\.0 only"):
        build_encoder(name="resnet18", width=0.5)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Pyramid(strides=(4, 8, 16, 16)), r"encoder mine: has 4 maps at strides 4, 8, 16, 16"),
        (Pyramid(strides=(4, 8, 16), channels=(6, 8, 10)), r"has 3 maps at strides 4, 8, 16"),
        (Pyramid(channels=(6, 8, 10, 13)), r"channels 6, 8, 10, 13, but makes of a 96x64 picture maps of 1x6x16x24"),
        (nn.Conv2d(3, 6, 3), r"no nn\.Module with channels and strides"),
    ],
)
def test_a_passed_in_encoder_keeps_the_contract(wrong: nn.Module, said: str) -> None:
    with pytest.raises(InputError, match=said):
        build_encoder(name="mine", encoders=ENCODERS | {"mine": lambda weights, width: wrong})
    with pytest.raises(InputError):
        generator_of(wrong, {"depth": 1})  # type: ignore[arg-type]
    norm = build_encoder()
    before = {name: value.clone() for name, value in norm.state_dict().items()}  # type: ignore[attr-defined]
    check_encoder(norm.train(), "it")  # type: ignore[attr-defined]
    assert norm.training and all(torch.equal(value, norm.state_dict()[name]) for name, value in before.items())  # type: ignore[attr-defined]


def test_an_own_encoder_trains_and_is_read_again(tmp_path: Path) -> None:
    write_cityscapes(tmp_path / "set")
    own = {"encoders": ENCODERS | {"mine": lambda weights, width: Pyramid()}}
    plain = config([f"cityscapes:{tmp_path / 'set'}:train"]).model_dump(mode="json")
    experiment = validate(Config, {**plain, "encoder": {"name": "mine", "weights": None}}, "test", own)
    state = build(experiment, CPU)
    assert isinstance(state.generator.encoder, Pyramid) and isinstance(state.generator.encoder, Encoder)
    save_checkpoint(tmp_path / "last.pt", state.state_dict(), experiment)
    found, _ = load_generator(tmp_path / "last.pt", own)
    assert torch.equal(found.encoder.first.weight, state.ema.encoder.first.weight)  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"encoder\.name: mine is none of"):
        load_generator(tmp_path / "last.pt")


def test_growth_needs_a_stem_and_stages() -> None:
    values = {"tasks": TASKS, "growth": {}, "encoder": {"name": "convnext_atto", "weights": None}}
    with pytest.raises(InputError, match=r"growth: encoder convnext_atto cannot grow"):
        generator_from(validate(Config, values, "test"))
    with pytest.raises(InputError, match=r"growth: encoder mine cannot grow"):
        growable(Pyramid(), "mine")


@pytest.mark.parametrize("name", ["mobilenet_v3_large", "mobilenetv4_conv_small", "resnet18"])
def test_modules_grow_beside_every_stage(name: str) -> None:
    torch.manual_seed(0)
    generator = generator_of(build_encoder(name=name), {"segmentation": 5, "depth": 1}, channels=16).eval()
    image = torch.randn(1, 3, 70, 90)
    with torch.no_grad():
        before = generator(image)
        grow(generator, [Place(stage, ("segmentation", "depth")) for stage in (1, 2, 3, 4)], 1.0, seed=1)
        _, taps = generator.encode(image)
        maps = generator.encoder(image)
        assert [tuple(one.shape) for one in taps.values()] == [tuple(one.shape) for one in maps]
        after = generator(image)
    assert all(torch.allclose(before[task], after[task], atol=1e-6) for task in before)


def test_frozen_statistics_stay_in_a_network_of_timm() -> None:
    encoder = set_batch_norm(build_encoder(name="efficientnet_lite0"), "frozen", CPU).train()  # type: ignore[arg-type]
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [norm.running_mean.clone() for norm in norms]  # type: ignore[union-attr]
    encoder(torch.randn(2, 3, 64, 96) + 3)
    assert norms and all(isinstance(norm, FrozenBatchNorm2d) for norm in norms)
    assert all(torch.equal(a, b.running_mean) for a, b in zip(before, norms, strict=True))  # type: ignore[arg-type]


def test_the_name_came_later_than_the_first_runs() -> None:
    plain, named, other = (
        validate(Config, {"tasks": TASKS, "encoder": encoder}, "test")
        for encoder in ({}, {"name": "mobilenet_v3_small"}, {"name": "mobilenet_v3_large"})
    )
    assert plain.hash == named.hash != other.hash and "name" not in plain.computed()["encoder"]
