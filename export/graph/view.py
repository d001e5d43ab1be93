"""How frames of one size are shown to a network, and what lens that is: the factor of their metres."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from export.graph.metadata import Metadata
from preprocessing.ground import Framing, InputError, Lens
from preprocessing.sets import ToldLens

Size = tuple[int, int]

MAX_ZOOM = 4.0
"""A lens more than so many times as long, or as short, as the one that depth was learnt for is refused."""
_USUAL_ZOOM = 1.5  # of the augmentation by default: what files of format 1 that tell no bounds may have been shown
_SAME = 1e-6


@dataclass(frozen=True)
class View:
    """How frames of one size are shown to a model.

    Attributes:
        metadata: of the model.
        framing: from the frame to the network and back.
        lens: of the frame; None where neither anybody nor the model tells it.
        told: who tells the lens: a file, an option; "" for the model's own.
    """

    metadata: Metadata
    framing: Framing
    lens: Lens | None
    told: str = ""

    @cached_property
    def zoom(self) -> float:
        """Focal length of what the network sees over the one that depth was learnt for; the file's own value where no
        lens is known.
        """
        learnt = self.metadata.learnt_fx_px
        if self.lens is None or learnt is None or (not self.told and self.metadata.lens is None):
            return self.metadata.zoom
        found = self.framing.lens(self.lens).f_px / learnt
        return self.metadata.zoom if abs(found / self.metadata.zoom - 1) < _SAME else found

    @property
    def whose(self) -> str:
        """Whose lens the metres are of, in one line."""
        if self.lens is None:
            return "metres are those of the training lens, which this model does not tell"
        by = (
            f"as {self.told} says" if self.told else "the model's own; --camera, --fx-px or --hfov-deg tell the frames'"
        )
        return f"metres are those of a lens of {self.lens.hfov_deg:.1f} degrees horizontally, {by}"

    def of_shape(self) -> str:
        """What is done to frames of another aspect, in words that follow their size; "" where nothing is."""
        framing = self.framing
        (width, height), (wide, high) = framing.frame, framing.size
        network = f", of another aspect than the network's {wide}x{high}: "
        if framing.plain:
            stretched = abs(width * high - height * wide) > 0.02 * height * wide
            return (
                f"{network}stretched, so metres may be off; --fit crop or pad shows them as they are"
                if stretched
                else ""
            )
        if framing.share < 1:
            return f"{network}cropped, {framing.share:.0%} of them is seen; --fit pad shows all"
        return f"{network}shown whole at {framing.scaled[0]}x{framing.scaled[1]}, padded"

    def facts(self) -> dict[str, Any]:
        """Plain values for records: focal length of the frame [px], its view from side to side [degrees], who told it
        (null: the model's own), the factor of its metres, and what of the frame was shown, [left, top, right, bottom].
        """
        facts: dict[str, Any] = {"shown": self.shown}
        if self.metadata.of_lens:
            lens = self.lens
            facts["lens"] = {
                "fx_px": None if lens is None else round(lens.fx_px, 3),
                "hfov_deg": None if lens is None else round(lens.hfov_deg, 3),
                "told": self.told or None,
                "zoom": round(self.zoom, 6),
            }
        return facts

    @property
    def shown(self) -> list[float]:
        """What of the frame the results cover: left, top, right, bottom [px of the frame]."""
        rows, columns = self.framing.taken if not self.framing.plain else _all_of(self.framing.scaled)
        x, y = (whole / part for whole, part in zip(self.framing.frame, self.framing.scaled, strict=True))
        return [round(one, 3) for one in (columns.start * x, rows.start * y, columns.stop * x, rows.stop * y)]

    def doubts(self) -> list[str]:
        """What is possible but hardly right, a line each that names who said it; [] where there is nothing."""
        if self.lens is None:
            return []
        named = self.told or "the model's own lens"
        found = [f"{named}: {one}" for one in self.lens.doubts()] if self.told else []
        low, high = self.metadata.zooms or (1 / _USUAL_ZOOM, _USUAL_ZOOM)
        showed = (
            f"training showed {low:.2f} to {high:.2f}"
            if self.metadata.zooms
            else "this file does not tell what training showed"
        )
        if not low * (1 - 0.01) <= self.zoom <= high * (1 + 0.01):
            found.append(
                f"{named}: {self.lens.fx_px:g} px in frames of {self.lens.size[0]}x{self.lens.size[1]} is a lens "
                f"{self.zoom:.2f} times as long as the one that depth was learnt for; {showed}, so metres are "
                "extrapolated"
            )
        return found


def view_of(metadata: Metadata, frame: Size, told: ToldLens | Lens | None = None, fit: str | None = None) -> View:
    """How frames of size `frame`, (width, height), are shown to the model.

    told: the lens of the frames; None: the model's own. fit: another rule than the model's.
    Raises: InputError naming who told a lens that the frames cannot have, or that is far from what was trained.
    """
    framing = Framing.of(frame, metadata.size, fit or metadata.fit)  # type: ignore[arg-type]
    depends = metadata.of_lens
    if told is None or not depends:
        return View(metadata, framing, own_lens(metadata, frame) if depends else None)
    name = name_of(told)
    if metadata.learnt_fx_px is None:
        raise InputError(
            f"{name}: this model does not tell what lens it was trained behind; export it again, or leave it out"
        )
    view = View(metadata, framing, _lens_at(told, frame, name), name)
    if not 1 / MAX_ZOOM <= view.zoom <= MAX_ZOOM:
        assert view.lens is not None
        raise InputError(
            f"{name}: {view.lens.fx_px:g} px in frames of {frame[0]}x{frame[1]} is a lens {view.zoom:.2f} times as "
            f"long as the one that depth was learnt for; {1 / MAX_ZOOM:g} to {MAX_ZOOM:g} can be told: is it of these "
            "frames?"
        )
    return view


def _all_of(size: Size) -> tuple[slice, slice]:
    return slice(0, size[1]), slice(0, size[0])


def own_lens(metadata: Metadata, frame: Size) -> Lens | None:
    """The model's own lens behind frames of this size: the same view from side to side. None where it tells none."""
    lens, (width, height) = metadata.lens, frame
    if lens is None and metadata.camera is not None and metadata.camera_size is not None:
        lens = Lens.of_camera(metadata.camera, metadata.camera_size)  # of a file of format 1
    if lens is None:
        return None
    whole = lens.resized((width, max(1, round(lens.size[1] * width / lens.size[0]))))
    return replace(whole, cy_px=whole.cy_px + (height - whole.size[1]) / 2, size=frame)


def name_of(told: ToldLens | Lens) -> str:
    """What messages call it: the file, or the option with its value."""
    if isinstance(told, Lens):
        return f"a lens of {told.fx_px:g} px"
    if told.camera is not None:
        return str(told.camera)
    return f"--fx-px {told.fx_px:g}" if told.fx_px is not None else f"--hfov-deg {told.hfov_deg:g}"


def _lens_at(told: ToldLens | Lens, frame: Size, name: str) -> Lens:
    lens = told if isinstance(told, Lens) else told.at(frame)
    if lens.size != frame:
        raise InputError(
            f"{name} is for frames of {lens.size[0]}x{lens.size[1]}, this one has {frame[0]}x{frame[1]}; give that of "
            "the frames as they are"
        )
    (width, height) = frame
    if not (-0.5 <= lens.cx_px <= width - 0.5 and -0.5 <= lens.cy_px <= height - 0.5):
        raise InputError(
            f"{name}: its principal point ({lens.cx_px:g}, {lens.cy_px:g}) lies outside of {width}x{height} px frames: "
            f"it is for others, of about {round(2 * lens.cx_px)}x{round(2 * lens.cy_px)}; give that of the frames as "
            "they are"
        )
    return lens


def told_lens(
    camera: Path | str | None = None, fx_px: float | None = None, hfov_deg: float | None = None
) -> ToldLens | None:
    """The lens that at most one of the options tells; None where none does.

    Raises: InputError for more than one, and for a file or a number that no camera has.
    """
    given = {"--camera": camera, "--fx-px": fx_px, "--hfov-deg": hfov_deg}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise InputError(f"{' and '.join(names)}: each tells the lens; give one of them")
    if not names:
        return None
    told = ToldLens(None if camera is None else Path(camera).expanduser(), fx_px, hfov_deg)
    if told.camera is not None and not told.camera.is_file():
        raise InputError(f"{told.camera}: no such calibration file")
    return told
