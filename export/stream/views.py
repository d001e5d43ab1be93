"""How the frames of a stream are shown to the network, size by size, and what is to be told of it."""

from collections.abc import Callable

from export.graph import View
from export.session import Session
from export.sources import Loaded
from export.stream.report import KEPT
from preprocessing.ground import Lens


class Views:
    """Of each frame, how it is shown; of each new size, what its user should know. One thread asks."""

    def __init__(self, session: Session, notice: Callable[[str], None]) -> None:
        self._session, self._notice = session, notice
        self._of_size: dict[tuple[int, int], View] = {}  # of frames that tell no lens of their own
        self._sizes = set[tuple[int, int]]()
        self._told = set[str]()

    def of(self, frame: Loaded) -> View:
        """How a frame is shown. Raises: InputError naming who tells a lens that the frame cannot have."""
        height, width = frame.image.shape[:2]
        return self.at(frame.name, (width, height), frame.lens)

    def at(self, name: str, size: tuple[int, int], lens: Lens | None = None) -> View:
        """The same by a frame's name, size and lens."""
        metadata = self._session.metadata
        if lens is not None and metadata.of_lens and metadata.learnt_fx_px is None and self._session.lens is None:
            lens = None  # nobody asked for it
            self._once("unused lens", "the frames tell their lens, but this model does not tell its own: left out")
        view = self._of_size.get(size) if lens is None else None
        if view is not None:
            return view
        view = self._session.view(size, lens)
        if size not in self._sizes and len(self._sizes) < KEPT:
            self._tell_of_size(name, view, first=not self._sizes)
            self._sizes.add(size)
        if lens is None and len(self._of_size) < KEPT:
            self._of_size[size] = view
        if view.metadata.of_lens:
            self._once("whose lens", view.whose)
            for doubt in view.doubts():
                self._once(doubt.partition(" px in frames")[0], doubt)
        return view

    def _once(self, kind: str, text: str) -> None:
        if kind not in self._told and len(self._told) < KEPT:
            self._told.add(kind)
            self._notice(text)

    def _tell_of_size(self, name: str, view: View, first: bool) -> None:
        """A notice at every new size after the first, and at the first one where its aspect is not the network's."""
        shape = view.of_shape()
        if shape or not first:
            width, height = view.framing.frame
            self._notice(f"{name}: frames are {'' if first else 'now '}{width}x{height}{shape}")
