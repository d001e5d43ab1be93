"""Settings by name and text, and the key under which a later run knows them again."""

from pathlib import Path

import pytest

from preprocessing.ground.errors import InputError
from preprocessing.job.settings import PreprocessSettings, build_settings, settings_key
from preprocessing.stereo.cleaning import CleanSettings
from preprocessing.stereo.match import DatasetSettings
from preprocessing.stereo.sgbm import SgbmSettings


def test_fields_of_the_matcher_and_the_cleaning_are_set_by_text() -> None:
    matcher, clean = build_settings("sgbm", {}, ["matcher.check=false", "clean.median=0", "clean.fill=all"])
    assert isinstance(matcher, SgbmSettings) and matcher.check is False
    assert (clean.median, clean.fill) == (0, "all")
    matcher, clean = build_settings("sgbm", {}, ["matcher.block=3", "clean.clip_px=2,90.5", "clean.left_right_px=none"])
    assert isinstance(matcher, SgbmSettings) and matcher.block == 3
    assert (clean.clip_px, clean.left_right_px) == ((2.0, 90.5), None)


def test_text_goes_before_what_an_option_gave() -> None:
    matcher, _ = build_settings("sgbm", {"block": 7}, ["matcher.block=9"])
    assert isinstance(matcher, SgbmSettings) and matcher.block == 9
    matcher, _ = build_settings("sgbm", {"block": 7, "weights": None}, [])
    assert isinstance(matcher, SgbmSettings) and matcher.block == 7


@pytest.mark.parametrize(
    ("given", "texts", "message"),
    [
        ({}, ["clean.foo=1"], r"clean\.foo=1.*clean\.median"),
        ({}, ["block=3"], r"matcher\.block"),
        ({}, ["matcher.block"], r"KEY=VALUE"),
        ({}, ["matcher.block=many"], r"^matcher\.block: "),
        ({}, ["matcher.block=4"], r"block: 4 must be odd"),
        ({"weights": Path("w.pth")}, [], r"^--weights: the matcher sgbm has no such setting"),
    ],
)
def test_what_does_not_fit_is_named(given: dict[str, object], texts: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_settings("sgbm", given, texts)


def test_an_unknown_matcher_names_those_there_are() -> None:
    with pytest.raises(InputError, match=r"'elas' is not offered; choose one of sgbm, "):
        build_settings("elas", {}, [])


def test_the_key_tells_what_shapes_the_maps_and_nothing_else() -> None:
    def key(**options: object) -> str:
        return settings_key(PreprocessSettings(**options).shaping())  # type: ignore[arg-type]

    assert key() == key(workers=3, pictures=9, split="val", out=Path("x"), again=True)
    assert len({key(), key(matcher=DatasetSettings()), key(max_depth_m=50.0), key(infinity="clip")}) == 4
    assert key(matcher=SgbmSettings(block=3)) != key()
    assert key(clean=CleanSettings(clip_px=(1.0, 99.0))) != key()
