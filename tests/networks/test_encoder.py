"""advmtl.networks.encoders.mobilenet_v3, and files of weights"""

import pickle
from urllib.error import URLError

import pytest
import torch
from shared_files import shared_file
from torch import nn
from torchvision.models import mobilenet_v3_small

from advmtl.networks.encoders import build_encoder
from advmtl.networks.encoders import mobilenet_v3 as encoder_module
from advmtl.networks.weights import load_strictly, read_state_dict
from preprocessing.ground.errors import InputError


@pytest.fixture(scope="module")
def published():
    torch.manual_seed(3)
    return mobilenet_v3_small(weights=None).eval()


@pytest.mark.parametrize(("height", "width"), [(64, 96), (97, 163), (33, 70)])
def test_strides_and_channels(height, width):
    """A side of s px gives ceil(s / stride), for each of the strides 4, 8, 16, 32."""
    encoder = build_encoder().eval()
    maps = encoder(torch.randn(2, 3, height, width))
    assert encoder.channels == (16, 24, 48, 96)
    expected = [
        (2, channels, -(-height // stride), -(-width // stride))
        for channels, stride in zip((16, 24, 48, 96), (4, 8, 16, 32), strict=True)
    ]
    assert [tuple(m.shape) for m in maps] == expected


def test_equals_torchvision_layer_by_layer(published):
    encoder = build_encoder().eval()
    encoder.features.load_state_dict(published.features[:12].state_dict())
    image = torch.randn(1, 3, 64, 48)
    taps, x = [], image
    with torch.no_grad():
        for index, block in enumerate(published.features[:12]):
            x = block(x)
            if index in (1, 3, 8, 11):
                taps.append(x)
        for ours, theirs in zip(encoder(image), taps, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_batch_norm_momentum_is_an_option():
    momenta = {m.momentum for m in build_encoder(bn_momentum=0.25).modules() if isinstance(m, nn.BatchNorm2d)}
    assert momenta == {0.25}


@pytest.mark.parametrize("form", ["whole", "features", "bare"])
def test_loads_each_form_of_torchvisions_weights(published, tmp_path, form):
    """The whole classifier, its features with the prefix, and the bare features give the same encoder."""
    states = {
        "whole": published.state_dict(),
        "features": {k: v for k, v in published.state_dict().items() if k.startswith("features.")},
        "bare": published.features.state_dict(),
    }
    path = tmp_path / "weights.pth"
    torch.save(states[form], path)
    encoder = build_encoder(str(path))
    for name, value in encoder.features.state_dict().items():
        assert torch.equal(value, published.features.state_dict()[name]), name


def test_missing_file_names_key_and_path(tmp_path):
    with pytest.raises(InputError, match=r"encoder\.weights: no file .*nowhere\.pth"):
        build_encoder(str(tmp_path / "nowhere.pth"))


@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04 cut off"])
def test_foreign_file_is_one_line(tmp_path, content):
    path = tmp_path / "bad.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.pth") as caught:
        build_encoder(str(path))
    assert "\n" not in str(caught.value)


class _Payload:
    def __reduce__(self):
        return (open, ("executed", "w"))


def test_code_in_a_file_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(_Payload(), protocol=2))
    with pytest.raises(InputError, match="no PyTorch state dict") as caught:
        read_state_dict(tmp_path / "evil.pth", "encoder.weights")
    assert "weights_only" not in str(caught.value)  # no advice to run it
    assert not (tmp_path / "executed").exists()


def test_checkpoint_instead_of_weights_is_named(tmp_path):
    path = tmp_path / "last.pt"
    torch.save({"generator": {"w": torch.ones(1)}, "epoch": 3}, path)
    with pytest.raises(InputError, match="no tensors by name"):
        build_encoder(str(path))


def test_loading_is_strict_in_keys_and_shapes():
    module = nn.Linear(3, 2)
    good = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
    load_strictly(module, good, "here")
    assert torch.equal(module.weight, torch.ones(2, 3))
    with pytest.raises(InputError, match=r"here does not fit: it lacks bias \(1 missing, 0 unknown\)"):
        load_strictly(module, {"weight": good["weight"]}, "here")
    with pytest.raises(InputError, match="unknown extra"):
        load_strictly(module, {**good, "extra": torch.ones(1)}, "here")
    with pytest.raises(InputError, match=r"weight is \[3, 2\], the network has \[2, 3\]"):
        load_strictly(module, {**good, "weight": torch.ones(3, 2)}, "here")


def test_imagenet_offline_says_what_to_do(monkeypatch):
    def offline(*_, **__):
        raise URLError("no route")

    monkeypatch.setattr(encoder_module.MobileNet_V3_Small_Weights, "get_state_dict", offline)
    with pytest.raises(
        InputError, match=r"mobilenet_v3_small-047dcff4.pth is not cached .*no route.*checkpoints.*PATH.*null"
    ) as caught:
        build_encoder("imagenet")
    assert "\n" not in str(caught.value)


def test_imagenet_has_one_width():
    with pytest.raises(InputError, match=r"width 1\.0 only"):
        build_encoder("imagenet", width=0.75)


def test_width_has_tensorflows_channels():
    """0.75 of 24, 40, 48, 96 in steps of 8, at least 90 %: 24, 32, 40, 72. Block 10 expands 72 to 432."""
    encoder = build_encoder(width=0.75)
    assert encoder.channels == (16, 24, 40, 72)
    assert encoder.features[10].block[0][0].weight.shape == (432, 72, 1, 1)


def test_real_weights_of_another_width():
    path = shared_file("weights/mnv3s075_features_torchvision.pth")
    encoder = build_encoder(str(path), width=0.75)
    state = torch.load(path, weights_only=True)
    assert torch.equal(encoder.features[0][0].weight, state["0.0.weight"])
    with pytest.raises(InputError, match="give weights of its width"):
        build_encoder(str(path))
