"""Stereo networks by name: what their ONNX exports take and give. docs/stereo_networks.md has the same as a table.

Each fact was read in the repository that `source` names, in November 2026; what could not be found there is left out.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Family:
    """The facts of one network.

    Attributes:
        rules: Keys of `OnnxSettings` and their values.
        source: Where they were read.
        names: Pairs of (input names, output names) by which exports are recognised; none = by nothing.
        usual_max: The greatest disparity of the usual export, px of the network's input; () = not known.
    """

    rules: dict[str, Any]
    source: str
    names: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()
    usual_max: tuple[int, ...] = ()


FAMILIES: dict[str, Family] = {
    # Inputs are told by their shapes (a pair; a pair and a flow; two pairs) and the answer by its two channels.
    "crestereo": Family(
        {"input_range": "0..255", "normalize": "off", "colours": "bgr", "multiple": 32, "pad": "right-bottom"},
        "github.com/ibaiGorordo/CREStereo-Pytorch, PINTO model zoo 284",
        usual_max=(256,),
    ),
    # export_onnx.py names the inputs; core/liteanystereov2.py normalises inside; demo.py pads on both sides to 32.
    "lite_any_stereo": Family(
        {"input_range": "0..255", "normalize": "off", "colours": "rgb", "multiple": 32, "pad": "centre"},
        "github.com/TomTomTommi/LiteAnyStereo (8c97bd4)",
        names=((("left", "right"), ("disparity",)),),
        usual_max=(192,),
    ),
    # NVIDIA's own exports; the repository of the paper exports two files with a step between them, which is no network
    # in one file.
    "fast_foundation_stereo": Family(
        {"input_range": "0..1", "normalize": "imagenet", "colours": "rgb", "multiple": 32},
        "huggingface.co/nvidia/c-fast-foundationstereo (discussion 2), "
        "github.com/NVlabs/Fast-FoundationStereo (68d2264)",
        names=((("left_image", "right_image"), ("disparity",)),),
        usual_max=(192,),
    ),
    # One input of 6 channels, or of 2 for the grey ETH3D model; an output [1, H, W, 1].
    "hitnet": Family(
        {"input_range": "0..1", "normalize": "off", "colours": "rgb", "fit": "resize"},
        "github.com/ibaiGorordo/ONNX-HITNET-Stereo-Depth-estimation (cd7010a), PINTO model zoo 142, "
        "github.com/nburrus/stereodemo (10e3fe7)",
        names=(
            (("input",), ("reference_output_disparity",)),
            (("input",), ("reference_output_disparity", "secondary_output_disparity")),
        ),
        usual_max=(128, 160, 288, 320, 400),
    ),
    # core/raft_stereo.py: 0..255 in, a flow to the left out; demo.py pads on both sides to 32 and turns the sign.
    "raft_stereo": Family(
        {
            "input_range": "0..255",
            "normalize": "off",
            "colours": "rgb",
            "multiple": 32,
            "pad": "centre",
            "sign": -1,
        },
        "github.com/princeton-vl/RAFT-Stereo (6068c1a)",
        names=((("left", "right"), ("disparity", "upscaled_disparity")),),
    ),
    # deploy/export.py names inputs and output; cfgs/lightstereo and stereo_trans.py have normalisation and padding.
    "lightstereo": Family(
        {"input_range": "0..1", "normalize": "imagenet", "colours": "rgb", "multiple": 32, "pad": "right-top"},
        "github.com/XiandaGuo/OpenStereo (23d71c9)",
        names=((("left_img", "right_img"), ("disp_pred",)),),
        usual_max=(192,),
    ),
}

PLAIN = "plain"
"""The name of no family."""


def family_by_names(inputs: tuple[str, ...], outputs: tuple[str, ...]) -> str:
    """Return the family whose exports have these names of inputs and outputs, or `PLAIN`."""
    return next((name for name, family in FAMILIES.items() if (inputs, outputs) in family.names), PLAIN)
