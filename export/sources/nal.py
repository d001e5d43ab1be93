"""What the packets of H.264 and H.265 say of themselves: where decoding may begin anew, which pictures others refer to,
and whether one is missing before them. FFmpeg conceals a missing reference of H.264 without a word.

Names and clauses: ITU-T H.264 (7.3, 7.4) and H.265 (7.4.2.2).
"""

from collections.abc import Iterator
from dataclasses import dataclass

# Enough of a NAL unit for the headers read here.
HEAD = 96


@dataclass(frozen=True)
class Facts:
    """Of one packet. restart: it needs nothing before it. clean: neither does anything after it (an IDR), else pictures
    shown before it may. reference: others may refer to it. fault: what is wrong with it as data, "" where nothing is.
    """

    restart: bool
    clean: bool
    reference: bool
    fault: str = ""


class Bits:
    """Reads the bits of a NAL unit, without its emulation prevention. Raises: IndexError behind its end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data.replace(b"\0\0\3", b"\0\0"), 0

    def take(self, count: int) -> int:
        """`count` bits as an unsigned number."""
        value = 0
        for _ in range(count):
            value = value << 1 | self._data[self._at >> 3] >> (7 - (self._at & 7)) & 1
            self._at += 1
        return value

    def golomb(self) -> int:
        """An unsigned Exp-Golomb code."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        """A signed Exp-Golomb code."""
        code = self.golomb()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def length_size(codec: str, extradata: bytes | None) -> int:
    """Bytes of the length before each NAL unit, as in MP4 and Matroska; 0 for start codes."""
    at = {"h264": 4, "hevc": 21}.get(codec)
    if at is None or not extradata or extradata[0] != 1 or len(extradata) <= at:
        return 0
    return (extradata[at] & 3) + 1


def units(data: bytes, length: int) -> Iterator[bytes]:
    """The first bytes of each NAL unit. Raises: ValueError where their lengths do not fill the packet."""
    at = 0
    if length:
        while at < len(data):
            size = int.from_bytes(data[at : at + length], "big")
            at += length
            if not size or at + size > len(data):
                raise ValueError("the lengths in the packet do not add up")
            yield data[at : at + min(size, HEAD)]
            at += size
        return
    at = data.find(b"\0\0\1")
    while at >= 0:
        yield data[at + 3 : at + 3 + HEAD]
        at = data.find(b"\0\0\1", at + 3)


class H264:
    """Follows an H.264 stream packet by packet, in decoding order."""

    def __init__(self, extradata: bytes | None) -> None:
        self._length = length_size("h264", extradata)
        self._sets: dict[int, tuple[int, bool]] = {}  # by sequence parameter set: bits of frame_num, whether checked
        self._of: dict[int, int] = {}  # the sequence parameter set of a picture parameter set
        self._last: int | None = None  # frame_num of the last reference picture
        if self._length and extradata:
            for unit in _of_avcc(extradata):
                self._parameters(unit)

    def facts(self, data: bytes, key: bool) -> Facts:
        """Of the packet `data`; `key`: whether its container or parser calls it a key frame."""
        intra = idr = reference = False
        missing, fault, seen = False, "", False
        try:
            for unit in units(data, self._length):
                kind, importance = unit[0] & 31, unit[0] >> 5 & 3
                if unit[0] & 0x80:
                    raise ValueError("a NAL unit has its forbidden bit set")
                if kind in (7, 8):
                    self._parameters(unit)
                if kind in (1, 2, 5) and not seen:
                    seen, idr, reference = True, kind == 5, importance > 0
                    intra, number = self._slice(unit)
                    missing = self._gap(number, idr, reference)
        except (ValueError, IndexError) as error:
            fault = str(error) if isinstance(error, ValueError) else "a header in it cannot be read"
            reference = True
        if not seen and not fault:
            return Facts(False, False, False)  # parameter sets only, or the second field's
        fault = fault or ("a picture that others refer to is missing before it" if missing else "")
        return Facts(idr or (key and intra), idr, reference or missing, fault)

    def _parameters(self, unit: bytes) -> None:
        kind, bits = unit[0] & 31, Bits(unit[1:])
        if kind == 8:
            picture = bits.golomb()
            self._of[picture] = bits.golomb()
        elif kind == 7:
            number, size, gaps = _sequence(bits)
            self._sets[number] = (size, not gaps)

    def _slice(self, unit: bytes) -> tuple[bool, int | None]:
        """Whether the first slice is intra, and its frame_num; None where no parameter set tells its length."""
        bits = Bits(unit[1:])
        bits.golomb()  # first_mb_in_slice
        intra = bits.golomb() % 5 in (2, 4)
        size, checked = self._sets.get(self._of.get(bits.golomb(), -1), (0, False))
        return intra, bits.take(size) | (1 << size) if checked else None

    def _gap(self, number: int | None, idr: bool, reference: bool) -> bool:
        """Whether frame_num leaves one out (7.4.3); `number` has a one before its highest bit, which tells its range.
        Streams that reset it without an IDR (memory_management_control_operation 5) are taken for damaged.
        """
        if number is None:
            return False
        top = 1 << (number.bit_length() - 1)
        now, last = number - top, self._last
        if reference:
            self._last = now
        return not idr and last is not None and now not in (last, (last + 1) % top)


def _of_avcc(extradata: bytes) -> Iterator[bytes]:
    """The parameter sets in an avcC record (ISO/IEC 14496-15, 5.3.3)."""
    at = 5
    for mask in (31, 255):
        if at >= len(extradata):
            return
        count, at = extradata[at] & mask, at + 1
        for _ in range(count):
            size = int.from_bytes(extradata[at : at + 2], "big")
            yield extradata[at + 2 : at + 2 + size]
            at += 2 + size


def _sequence(bits: Bits) -> tuple[int, int, bool]:
    """Of a sequence parameter set (7.3.2.1.1): its id, the bits of frame_num, and whether gaps in it are allowed."""
    profile = bits.take(8)
    bits.take(16)
    number = bits.golomb()
    if profile in (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135):
        colours = bits.golomb()
        if colours == 3 and bits.take(1):  # separate planes: colour_plane_id stands before frame_num
            return number, 0, True
        bits.golomb()
        bits.golomb()
        bits.take(1)
        if bits.take(1):
            for index in range(8 if colours != 3 else 12):
                if bits.take(1):
                    _skip_scaling(bits, 16 if index < 6 else 64)
    size = bits.golomb() + 4
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        bits.take(1)
        bits.signed()
        bits.signed()
        for _ in range(bits.golomb()):
            bits.signed()
    bits.golomb()
    return number, size, bool(bits.take(1))


def _skip_scaling(bits: Bits, count: int) -> None:
    last = following = 8
    for _ in range(count):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


class H265:
    """The same for H.265, whose missing references FFmpeg tells."""

    def __init__(self, extradata: bytes | None) -> None:
        self._length = length_size("hevc", extradata)
        self._layered = False

    def facts(self, data: bytes, key: bool) -> Facts:
        """Of the packet `data`."""
        try:
            for unit in units(data, self._length):
                if unit[0] & 0x80:
                    raise ValueError("a NAL unit has its forbidden bit set")
                kind, layer = unit[0] >> 1 & 63, unit[1] & 7
                if kind < 32:
                    self._layered |= layer > 1
                    # Even types below 16 are referred to by pictures of higher layers only (7.4.2.2).
                    reference = kind >= 16 or kind % 2 == 1 or self._layered
                    return Facts(16 <= kind <= 23, kind in (19, 20), reference)
        except (ValueError, IndexError) as error:
            return Facts(False, False, True, str(error) if isinstance(error, ValueError) else "a header cannot be read")
        return Facts(False, False, False)


class Other:
    """Any other codec: what container or parser say."""

    def facts(self, data: bytes, key: bool) -> Facts:
        """Of the packet `data`."""
        return Facts(key, False, True)


def follow(codec: str, extradata: bytes | None) -> H264 | H265 | Other:
    """What reads the packets of a stream of this codec, with its `extradata`."""
    try:
        if codec == "h264":
            return H264(extradata)
        return H265(extradata) if codec == "hevc" else Other()
    except (ValueError, IndexError):  # parameter sets of a kind that is not known here
        return Other()
