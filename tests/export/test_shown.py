"""Frames of another aspect: what is shown of them, what comes back, and the sky without a distance."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from standins import NAMES, made, make_frame, make_metadata, make_session

from export.convert.parity import ParityError, compare, differences
from export.graph.metadata import CLASSES, DEPTH
from export.predict import predict
from export.session.session import Session, fault_of, fit, uncropped
from export.sinks import Inferred, Outputs, Painter
from export.sources import Loaded, Source
from export.stream.stream import infer, run
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import read_grey_or_index, write_png
from preprocessing.ground.lens import Lens
from preprocessing.sets.lens_file import ToldLens

SKY = NAMES.index("sky")


def shown(rule: str, **changes: object) -> Session:
    return replace(make_session(), metadata=replace(make_metadata(), fit=rule, **changes))


def with_sky() -> Session:
    """The stand-in with +Inf where the class is sky."""
    session = shown("pad", sky=(SKY,))

    def network(image: NDArray[np.uint8]) -> dict[str, NDArray]:
        outputs = session.network(image)
        return outputs | {DEPTH: np.where(outputs[CLASSES] == SKY, np.float32(np.inf), outputs[DEPTH])}

    return replace(session, network=network)


def test_a_padded_frame_has_results_of_itself_alone() -> None:
    """96x96 in the middle of 160x96, 32 px from the left."""
    frame = make_frame(0, (96, 96))
    result = shown("pad").run(frame)
    assert result.classes is not None and result.classes.shape == (96, 96)
    np.testing.assert_array_equal(result.classes, frame[..., 0] % len(NAMES))
    whole = uncropped(result)
    assert (
        whole.classes.shape == (96, 160)
        and (whole.classes[:, :32] == 255).all()
        and np.isnan(whole.depth_m[:, -32:]).all()
    )
    assert fit(result, (48, 48)).classes.shape == (48, 48)  # type: ignore[union-attr]


def test_what_was_cut_off_is_unknown_on_the_frame() -> None:
    """160x160 shown at its own size: rows 32 to 128 of it."""
    frame = make_frame(0, (160, 160))
    result = shown("crop").run(frame)
    assert result.classes is not None and result.classes.shape == (96, 160)
    back = fit(result, (160, 160))
    assert back.classes is not None and back.depth_m is not None
    np.testing.assert_array_equal(back.classes[32:128], frame[32:128, :, 0] % len(NAMES))
    assert (back.classes[:32] == 255).all() and (back.classes[128:] == 255).all()
    assert np.isnan(back.depth_m[:32]).all() and np.isfinite(back.depth_m[32:128]).all()


def test_the_option_goes_before_the_models_own_rule() -> None:
    session = replace(shown("pad"), fit="stretch")
    assert session.run(make_frame(0, (96, 96))).classes.shape == (96, 160)


def test_drawings_keep_one_size() -> None:
    session, painter = shown("pad"), Painter(make_metadata())
    pictures = []
    for size in ((160, 96), (96, 96), (40, 90)):
        frame = make_frame(0, size)
        view, result = session.view(size), session.run(frame)
        pictures.append(painter.paint(view.framing.picture(frame)[view.framing.shown], result))
    assert len({picture.shape for picture in pictures}) == 1


def source(*frames: Loaded) -> Source:
    return Source("made", lambda: (frame for frame in frames), len(frames), 10.0)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("stretch", "stretched, so metres may be off; --fit crop or pad shows them as they are"),
        ("crop", "cropped, 50% of them is seen; --fit pad shows all"),
        ("pad", "shown whole at 128x171, padded"),
    ],
)
def test_a_notice_from_the_first_frame_on_where_its_aspect_is_not_the_networks(rule: str, said: str) -> None:
    """A 4:3 portrait, then frames of the network's aspect: the right ones are not called stretched."""
    metadata = replace(make_metadata((256, 171)), fit=rule)
    session = replace(make_session((256, 171)), metadata=metadata)
    report = run(session, source(Loaded("a", make_frame(0, (360, 480))), Loaded("b", make_frame(1, (512, 342)))))
    assert report.notices[0] == f"a: frames are 360x480, of another aspect than the network's 256x171: {said}"
    assert report.notices[-1] == "b: frames are now 512x342"


def test_records_arrays_and_report_carry_the_lens(tmp_path: Path) -> None:
    own = Lens.of_fx(176.0, (160, 96))
    session = shown("crop", canonical_fx_px=176.0, lens=own)
    session = replace(session, lens=ToldLens(fx_px=352.0))
    outputs = Outputs(arrays=tmp_path / "arrays", log=tmp_path / "log.jsonl")
    report = infer(session, source(Loaded("a", make_frame(0, (160, 160)))), outputs)
    (record,) = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    assert record["version"] == report.version == 2
    assert record["lens"] == {"fx_px": 352.0, "hfov_deg": 25.609, "told": "--fx-px 352", "zoom": 2.0}
    assert record["shown"] == [0, 32, 160, 128] and report.view == {"shown": record["shown"], "lens": record["lens"]}
    arrays = np.load(tmp_path / "arrays" / "a.npz")
    assert (arrays["fx_px"], arrays["zoom"], int(arrays["version"])) == (352, 2, 2)
    said = "metres are those of a lens of 25.6 degrees horizontally, as --fx-px 352 says"
    assert any(one.startswith(said) for one in report.notices)
    assert any("2.00 times as long" in one for one in report.notices)


def test_a_source_may_bring_a_lens_with_each_frame() -> None:
    session = shown("pad", canonical_fx_px=176.0, lens=Lens.of_fx(176.0, (160, 96)))
    frame, lens = make_frame(0), Lens.of_fx(88.0, (160, 96))
    seen: list[Inferred] = []
    run(session, source(Loaded("a", frame, lens=lens), Loaded("b", frame)), seen.append)
    assert [one.view.zoom for one in seen] == [0.5, 1.0]
    np.testing.assert_allclose(seen[0].result.depth_m, np.maximum(seen[1].result.depth_m / 2, 1))


def test_a_lens_that_frames_cannot_have_ends_the_stream_at_once_and_later_skips_them(tmp_path: Path) -> None:
    path = tmp_path / "rig.json"
    path.write_text('{"baseline_m": 0.2, "fx_px": 352.0, "width_px": 320, "height_px": 192}')
    session = shown("pad", canonical_fx_px=176.0, lens=Lens.of_fx(176.0, (160, 96)))
    session = replace(session, lens=ToldLens(camera=path))
    good, bad = Loaded("good", make_frame(0)), Loaded("bad", make_frame(0, (160, 120)))
    with pytest.raises(InputError, match=r"rig\.json: is for 320x192 images, but the image is 160x120"):
        run(session, source(bad, good))
    report = run(session, source(good, bad, good))
    assert report.frames == 2 and [name for name, _ in report.skipped] == ["bad"] and not report.complete


# The sky.


def test_infinite_is_no_fault_where_the_class_is_sky_and_one_anywhere_else() -> None:
    classes = np.array([[SKY, 0]], np.uint8)
    sky = made(classes, np.array([[np.inf, 4]], np.float32))
    assert fault_of(sky, (SKY,)) is None and fault_of(sky) is not None
    for bad in ([[np.inf, np.inf]], [[np.nan, 4]], [[-np.inf, 4]]):
        assert (
            fault_of(made(classes, np.array(bad, np.float32)), (SKY,))
            == "the network gave depth_m that are not finite numbers"
        )


def test_parity_compares_what_has_a_distance_and_counts_what_only_one_calls_sky() -> None:
    def pair(*metres: float) -> dict[str, NDArray]:
        classes = np.array([[SKY if np.isposinf(one) else 0 for one in metres]], np.uint8)
        return {CLASSES: classes, DEPTH: np.array([metres], np.float32)}

    inf = np.inf
    report = compare([(pair(inf, 10, 20), pair(inf, 10, 20))], sky=(SKY,))
    assert report.shortfall() is None and report.outputs[DEPTH].largest == 0
    report = compare([(pair(inf, 10, inf), pair(inf, 10, 20))], sky=(SKY,))
    assert report.outputs[DEPTH].largest == 0 and report.outputs[DEPTH].one_sided == pytest.approx(1 / 3)
    assert not report.outputs[DEPTH].holds
    broken = {CLASSES: np.zeros((1, 3), np.uint8), DEPTH: np.array([[inf, 10, 20]], np.float32)}
    with pytest.raises(ParityError, match="depth_m of the exported model is not finite"):
        compare([(broken, pair(inf, 10, 20))], sky=(SKY,))
    assert differences("relative", np.array([inf, 11.0]), np.array([inf, 10.0])) == pytest.approx([0, 0.1])


def test_raw_maps_have_no_depth_where_the_sky_is(picture_folder: Callable[[int], Path], tmp_path: Path) -> None:
    said: list[str] = []
    done, skipped = predict(with_sky(), str(picture_folder(2)), tmp_path / "out", raw=True, notice=said.append)
    assert done == 2 and not skipped and said[0].startswith("metres are those of")
    classes = read_grey_or_index(tmp_path / "out" / "000_classes.png")
    depth = read_grey_or_index(tmp_path / "out" / "000_depth.png")
    assert 0.01 < (classes == SKY).mean() < 0.99
    np.testing.assert_array_equal(depth == 0, classes == SKY)


def test_a_picture_of_another_shape_is_drawn_beside_its_own_results(tmp_path: Path) -> None:
    write_png(tmp_path / "in" / "a.png", make_frame(0, (96, 96)))
    predict(shown("pad"), str(tmp_path / "in"), tmp_path / "out", raw=True)
    assert read_grey_or_index(tmp_path / "out" / "a_classes.png").shape == (96, 96)
