"""The ledger of damage by hand-made packets, and the headers of H.264 that it rests on."""

import pytest

from export.sources import damage
from export.sources.damage import Ledger
from export.sources.nal import H264, H265, Bits, Facts, length_size, units

KEY, P, B = Facts(True, True, True), Facts(False, False, True), Facts(False, False, False)
OPEN_KEY = Facts(True, False, True)


def judge(packets: list[tuple[Facts, int]], hurt: dict[int, str], shown: list[int], **options: bool) -> dict[int, str]:
    """What is said of each frame by its time. hurt: packets by number, with `mark` (the container's) or `late` (the
    decoder's) or `refused`; shown: the numbers of the packets in the order in which their frames are decoded, `-n` for
    a frame that comes once packet n - 1 has been noted.
    """
    ledger, found = Ledger(complete=options.get("complete", True)), {}
    for number, (facts, pts) in enumerate(packets):
        assert ledger.packet(facts, pts, "mark" if hurt.get(number) == "mark" else "") == number
        if hurt.get(number) == "refused":
            ledger.failed(number, "refused")
    for number in shown:
        if hurt.get(number) != "refused":
            ledger.frame(number, packets[number][1], hurt.get(number) == "late")
        found |= dict(ledger.ready())
    return found | dict(ledger.ready(ended=True))


# Two groups of pictures: I P B B P B B | I P; times in the order of showing.
GROUPS = [(KEY, 0), (P, 3), (B, 1), (B, 2), (P, 6), (B, 4), (B, 5), (KEY, 7), (P, 8)]
SHOWN = [0, 2, 3, 1, 5, 6, 4, 7, 8]


def test_a_whole_film_is_whole() -> None:
    assert judge(GROUPS, {}, SHOWN) == dict.fromkeys(range(9), "")


def test_what_refers_to_a_damaged_frame_is_damaged_up_to_the_next_key_frame() -> None:
    """The second P is marked: its B frames are shown before it and are told with it; those before it are whole."""
    found = judge(GROUPS, {4: "mark"}, SHOWN)
    assert [time for time, text in found.items() if text] == [4, 5, 6]
    assert found[6] == "mark" and "refers to a frame that is not whole (mark)" in found[4]


def test_a_frame_that_nobody_refers_to_harms_nobody() -> None:
    assert [time for time, text in judge(GROUPS, {2: "mark"}, SHOWN).items() if text] == [1]


def test_what_the_decoder_complains_of_may_have_begun_before() -> None:
    """Packet 4 of the decoder's complaint: the two before it are doubted, not those before a key frame."""
    assert damage.BEFORE_COMPLAINT == 2
    assert [time for time, text in judge(GROUPS, {4: "late"}, SHOWN).items() if text] == [1, 2, 4, 5, 6]
    assert [time for time, text in judge(GROUPS, {7: "late"}, SHOWN).items() if text] == [7, 8]


def test_the_end_of_what_stands_before_a_gap_may_be_missing() -> None:
    """A reference is missing before packet 6: packet 5 is doubted, 4 is whole."""
    gap = Facts(False, False, True, "a gap")
    found = judge([*GROUPS[:6], (gap, 5), *GROUPS[7:]], {}, SHOWN)
    assert [time for time, text in found.items() if text] == [4, 5]


def test_a_packet_without_a_frame_is_a_loss() -> None:
    """The second P, refused by the decoder, which may be late, or left out; not where pictures may be hidden."""
    found = judge(GROUPS, {4: "refused"}, SHOWN)
    assert [time for time, text in found.items() if text] == [1, 2, 4, 5]
    left_out = [number for number in SHOWN if number != 4]
    assert [time for time, text in judge(GROUPS, {}, left_out).items() if text] == [4, 5]
    assert not any(judge(GROUPS, {}, left_out, complete=False).values())


def test_pictures_before_an_open_key_frame_may_refer_to_what_is_behind_it() -> None:
    """I P(hurt) | I B B P: the two B frames are shown before the second I and refer to the P."""
    packets = [(KEY, 0), (P, 1), (OPEN_KEY, 4), (B, 2), (B, 3), (P, 5)]
    found = judge(packets, {1: "mark"}, [0, 1, 3, 4, 2, 5])
    assert [time for time, text in found.items() if text] == [1, 2, 3]


def test_lengths_and_start_codes() -> None:
    assert list(units(b"\0\0\0\2ab\0\0\0\1c", 4)) == [b"ab", b"c"]
    assert [unit[:2] for unit in units(b"\0\0\0\1ab\0\0\1cd", 0)] == [b"ab", b"cd"]
    for wrong in (b"\0\0\0\3ab", b"\0\0\0\0ab"):
        with pytest.raises(ValueError, match="do not add up"):
            list(units(wrong, 4))
    assert length_size("h264", bytes([1, 0, 0, 0, 0xFF])) == 4 and length_size("h264", b"\0\0\0\1g") == 0


def test_exponential_golomb_codes() -> None:
    """1, 010, 011, 00100: 0, 1, 2, 3 (9.1); signed 0, 1, -1, 2. 00 00 03 holds no 03."""
    assert [Bits(bytes([0b10100110, 0b01000000])).golomb()] == [0]
    bits = Bits(bytes([0b10100110, 0b01000000]))
    assert [bits.golomb() for _ in range(4)] == [0, 1, 2, 3]
    bits = Bits(bytes([0b10100110, 0b01000000]))
    assert [bits.signed() for _ in range(4)] == [0, 1, -1, 2]
    assert Bits(b"\0\0\3\1").take(24) == 1


def h264_slice(frame_num: int, kind: int = 1, importance: int = 1, slice_type: str = "00101") -> bytes:
    """A slice's first bytes: first_mb 0, slice_type (5: all are P), parameter set 0, frame_num in 4 bits."""
    text = "1" + {"P": "00110", "I": "0001000"}.get(slice_type, slice_type) + "1" + f"{frame_num:04b}" + "1"
    text += "0" * (-len(text) % 8)
    return b"\0\0\1" + bytes([importance << 5 | kind]) + int(text, 2).to_bytes(len(text) // 8, "big")


# Baseline profile (66), sps 0, log2_max_frame_num 4 (ue 0), poc type 2 (ue 2: 011), 1 reference (010), no gaps.
SPS = b"\0\0\1\x67\x42\0\x1e" + bytes([0b11011010, 0b01000000])
PPS = b"\0\0\1\x68" + bytes([0b11000000])


def test_a_missing_reference_is_seen_by_its_number() -> None:
    """15 is followed by 0; a frame nobody refers to takes the next number and does not use it up."""
    reader = H264(None)
    assert reader.facts(SPS + PPS + h264_slice(0, 5, 3, "I"), True) == Facts(True, True, True)
    for number, importance in [(1, 1), (2, 0), (2, 0), (2, 1), *((n, 1) for n in range(3, 16)), (0, 1), (1, 1)]:
        assert reader.facts(h264_slice(number, 1, importance, "P"), False) == Facts(False, False, importance > 0)
    found = reader.facts(h264_slice(3, 1, 0, "P"), False)
    assert found.reference and "missing before it" in found.fault
    assert reader.facts(h264_slice(0, 5, 3, "I"), True).fault == ""


def test_an_intra_frame_begins_anew_where_its_container_says_so() -> None:
    reader = H264(None)
    reader.facts(SPS + PPS, False)
    assert reader.facts(h264_slice(1, 1, 1, "I"), True) == Facts(True, False, True)
    assert not reader.facts(h264_slice(2, 1, 1, "P"), True).restart  # intra refresh: a recovery point, but no restart


def test_headers_that_cannot_be() -> None:
    assert "forbidden" in H264(None).facts(b"\0\0\1\xe1abc", False).fault
    assert "cannot be read" in H264(None).facts(b"\0\0\1\x41", False).fault
    # H.265: 19 IDR, 21 CRA, 1 TRAIL_R, 0 TRAIL_N; a type of a slice is the upper six bits below the first.
    reader = H265(None)
    kinds = {19: (True, True, True), 21: (True, False, True), 1: (False, False, True), 0: (False, False, False)}
    for kind, (restart, clean, reference) in kinds.items():
        assert reader.facts(b"\0\0\1" + bytes([kind << 1, 1, 0]), False) == Facts(restart, clean, reference)
    assert "forbidden" in reader.facts(b"\0\0\1\x82\1\0", False).fault
