"""Settings by name and text, and the key under which a later run knows them again."""

from pathlib import Path

import pytest

from preprocessing.ground.errors import InputError
from preprocessing.job.settings import PreprocessSettings, build_settings, current_names, settings_key
from preprocessing.stereo.census import CensusSettings
from preprocessing.stereo.cleaning import CleanSettings
from preprocessing.stereo.match import DatasetSettings
from preprocessing.stereo.sgbm import SgbmSettings


def test_fields_of_the_matcher_and_the_cleaning_are_set_by_text() -> None:
    matcher, clean = build_settings("census", {}, ["matcher.check=false", "clean.median=0", "clean.fill=all"])
    assert isinstance(matcher, CensusSettings) and matcher.check is False
    assert (clean.median, clean.fill) == (0, "all")
    matcher, clean = build_settings("census", {}, ["matcher.block=3", "clean.clip_px=2,90", "clean.left_right_px=none"])
    assert isinstance(matcher, CensusSettings) and matcher.block == 3
    assert (clean.clip_px, clean.left_right_px) == ((2.0, 90.0), None)


def test_text_goes_before_what_an_option_gave() -> None:
    matcher, _ = build_settings("census", {"block": 7}, ["matcher.block=9"])
    assert isinstance(matcher, CensusSettings) and matcher.block == 9
    matcher, _ = build_settings("census", {"block": 7, "weights": None}, [])
    assert isinstance(matcher, CensusSettings) and matcher.block == 7


@pytest.mark.parametrize(
    ("given", "texts", "message"),
    [
        ({}, ["clean.foo=1"], r"clean\.foo=1.*clean\.median"),
        ({}, ["block=3"], r"matcher\.block"),
        ({}, ["matcher.block"], r"KEY=VALUE"),
        ({}, ["matcher.block=many"], r"^matcher\.block: "),
        ({}, ["matcher.block=4"], r"block: 4 must be odd"),
        ({"weights": Path("w.pth")}, [], r"^--weights: the matcher census has no such setting"),
    ],
)
def test_what_does_not_fit_is_named(given: dict[str, object], texts: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_settings("census", given, texts)


def test_an_unknown_matcher_names_those_there_are() -> None:
    with pytest.raises(InputError, match=r"'elas' is not offered; choose one of census, sgbm, "):
        build_settings("elas", {}, [])


def test_the_key_tells_what_shapes_the_maps_and_nothing_else() -> None:
    def key(**options: object) -> str:
        return settings_key(PreprocessSettings(**options).shaping())  # type: ignore[arg-type]

    assert key() == key(workers=3, pictures=9, split="val", out=Path("x"), again=True)
    assert len({key(), key(matcher=DatasetSettings()), key(max_depth_m=50.0), key(infinity="clip")}) == 4
    assert len({key(), key(matcher=CensusSettings(block=5)), key(matcher=SgbmSettings())}) == 3
    assert key(clean=CleanSettings(clip_px=(1.0, 99.0))) != key()


@pytest.mark.parametrize(
    ("matcher", "first"),
    [
        (CensusSettings(), "974442a37bc7"),
        (CensusSettings(p1=7, p2=70, check=False), "cae2e00ad505"),
        (SgbmSettings(mode="hh4"), "afaf1d2d9b20"),
        (SgbmSettings(block=3, uniqueness=5), "f445056f07cc"),
    ],
)
def test_the_key_is_that_of_the_first_names(matcher: CensusSettings | SgbmSettings, first: str) -> None:
    """As it was for sgbm with mode census, step_price and jump_price; with hh4; with 3way (revision 2 of the maps)."""
    assert settings_key({**PreprocessSettings(matcher=matcher).shaping(), "revision": 2}) == first


OLD = "write --matcher census"


@pytest.mark.parametrize(
    ("matcher", "texts", "expected", "notes"),
    [
        ("census", ["clean.median=0"], CensusSettings(), []),
        ("sgbm", [], CensusSettings(), [OLD]),
        ("sgbm", ["matcher.mode=census", "matcher.uniqueness=5"], CensusSettings(), [OLD]),
        ("census", ["matcher.mode=census"], CensusSettings(), []),
        (
            "sgbm",
            ["matcher.step_price=7", "matcher.jump_price=70"],
            CensusSettings(p1=7, p2=70),
            ["write --set matcher.p1=7", "write --set matcher.p2=70", OLD],
        ),
        ("sgbm", ["matcher.mode=hh4", "matcher.uniqueness=5"], SgbmSettings(mode="hh4", uniqueness=5), []),
        (
            "census",
            ["matcher.mode=hh4", "matcher.uniqueness=5"],
            SgbmSettings(mode="hh4", uniqueness=5),
            ["write --matcher sgbm --set matcher.mode=hh4"],
        ),
        ("sgbm", ["matcher.mode=3way", "matcher.jump_price=99"], SgbmSettings(p2=99), ["write --set matcher.p2=99"]),
    ],
)
def test_older_names_still_mean_what_they_meant(
    matcher: str, texts: list[str], expected: object, notes: list[str]
) -> None:
    name, renamed, found = current_names(matcher, texts)
    assert build_settings(name, {}, renamed)[0] == expected
    assert len(found) == len(notes) and all(note in line for note, line in zip(notes, found, strict=True))


@pytest.mark.parametrize("text", ["matcher.block", "matcher.mode=fast"])
def test_what_is_no_setting_stays_as_it_was_given(text: str) -> None:
    with pytest.raises(InputError, match=rf"--set {text}: not one of KEY=VALUE"):
        build_settings("census", {}, current_names("census", [text])[1])


@pytest.mark.parametrize("matcher", [SgbmSettings(), CensusSettings()])
def test_maps_of_before_a_matcher_changed_are_made_anew(matcher: SgbmSettings | CensusSettings) -> None:
    """What ends the range does not count, and it grows where something nearer is seen."""
    shaping = PreprocessSettings(matcher=matcher).shaping()
    assert settings_key(shaping) != settings_key({**shaping, "revision": 3})
    assert shaping["revision"] == 4


def test_the_maps_of_every_matcher_are_made_anew_since_borders_and_doffs_count() -> None:
    assert PreprocessSettings(matcher=DatasetSettings()).shaping()["revision"] == 3
