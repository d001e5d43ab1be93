"""Files inside zip archives: listed, read, checked, by paths that lead through them."""

import hashlib
import multiprocessing
import os
import zipfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from published_sets import noise

from preprocessing.ground import InputError, find_bits, list_files, read_grey_or_index, read_image, sha256_of
from preprocessing.ground import archives as own
from preprocessing.ground.files import encode_png, names_in
from preprocessing.ground.headers import read_header
from preprocessing.ground.maps import map_header, read_map


@pytest.fixture(params=[zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", request.param) as file:
        file.writestr("left/drive_1/0001.png", encode_png(noise(1, (40, 24))))
        file.writestr("left/drive_1/0002.png", encode_png(noise(2, (40, 24))))
        file.writestr("left/0000.png", encode_png(noise(0, (40, 24))))
        file.writestr("left/.hidden.png", b"")
        file.writestr("left/raw.heic", b"")
        file.writestr("deep/depth.png", encode_png(np.full((24, 40), 1000, np.uint16)))
    return path


def test_folders_are_listed_as_on_the_disk(archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path / "plain")
    inside, plain = list_files(archive / "left"), list_files(tmp_path / "plain" / "left")
    assert inside.names == plain.names and list(inside.names) == ["0000", "drive_1/0001", "drive_1/0002"]
    assert inside.others == {".heic": 1} and names_in(archive / "left") == names_in(tmp_path / "plain" / "left")
    assert own.is_folder(archive / "left" / "drive_1") and not own.is_folder(archive / "left" / "0000.png")
    assert not list_files(archive / "none").names and list_files(archive).names


def test_files_are_read_as_on_the_disk(archive: Path) -> None:
    assert np.array_equal(read_image(archive / "left/drive_1/0002.png"), noise(2, (40, 24)))
    depth = archive / "deep/depth.png"
    assert read_map(depth).max() == 1000 and read_grey_or_index(depth).dtype == np.uint16
    assert map_header(depth) == ((24, 40), "uint16") and find_bits([depth]) == 10
    header = read_header(archive / "left/0000.png")
    assert (header.shape, header.mode) == ((24, 40), "RGB")
    with zipfile.ZipFile(archive) as file:
        content = file.read("left/0000.png")
    assert header.status.st_size == len(content)
    assert sha256_of(archive / "left/0000.png") == hashlib.sha256(content).hexdigest()


def test_two_files_of_an_archive_are_no_one_file(archive: Path) -> None:
    """A number of its own, by which frames that training and validation share are known."""
    states = [own.file_status(archive / f"left/drive_1/000{number}.png") for number in (1, 2)]
    assert states[0].st_ino != states[1].st_ino and states[0].st_mtime_ns == archive.stat().st_mtime_ns


def test_a_folder_may_be_called_like_an_archive(archive: Path) -> None:
    folder = archive.with_name("unpacked.zip")
    folder.mkdir()
    archive.rename(folder / "set.zip")
    assert len(list_files(folder / "set.zip" / "left").names) == 3
    assert own.through(folder) is None and own.through(folder / "set.zipped" / "a") is None


def test_what_is_not_there_is_named(archive: Path) -> None:
    with pytest.raises(InputError, match=r"set.zip/left/none.png: Not a directory"):
        read_image(archive / "left/none.png")
    with pytest.raises(OSError, match="Not a directory"):
        own.file_status(archive / "left/none.png")


def test_damage_is_named_where_it_is(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    place = content.index(b"left/drive_1/0002.png") + len("left/drive_1/0002.png") + 200
    content[place] ^= 0xFF
    archive.write_bytes(content)
    read_image(archive / "left/drive_1/0001.png")
    with pytest.raises(InputError, match=r"0002.png: the archive is damaged here \(.*\); download the archive again"):
        read_image(archive / "left/drive_1/0002.png")
    archive.write_bytes(content[:-300])
    with pytest.raises(InputError, match=r"set.zip: not a whole zip archive \(File is not a zip file\); download"):
        read_image(archive / "left/drive_1/0001.png")


def test_other_packings_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_BZIP2) as file:
        file.writestr("a.png", encode_png(noise(1, (40, 24))))
    with pytest.raises(InputError, match=r"a.zip/a.png: is packed by method 12, and stored and deflated files are"):
        read_image(tmp_path / "a.zip/a.png")


def test_a_replaced_archive_is_read_anew(archive: Path) -> None:
    read_image(archive / "left/0000.png")
    with zipfile.ZipFile(archive.with_suffix(".new"), "w") as file:
        file.writestr("left/0000.png", encode_png(noise(77, (40, 24))))
    archive.with_suffix(".new").replace(archive)
    assert np.array_equal(read_image(archive / "left/0000.png"), noise(77, (40, 24)))


def _sum_and_handles(path: Path) -> tuple[int, list[int]]:
    before = list(own._handles.values())
    return int(read_image(path).sum()), before


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_no_handle_goes_over_a_fork(archive: Path, start: str) -> None:
    """The parent has a handle open; the child begins with none, and reads the same."""
    path = archive / "left/drive_1/0001.png"
    expected = int(read_image(path).sum())
    assert own._handles
    with ProcessPoolExecutor(2, multiprocessing.get_context(start)) as pool:
        found = list(pool.map(_sum_and_handles, [path] * 4))
    assert {total for total, _ in found} == {expected} and found[0][1] == []


def test_threads_share_a_handle(archive: Path) -> None:
    names = ["left/0000.png", "left/drive_1/0001.png", "left/drive_1/0002.png"]
    expected = [read_image(archive / name).sum() for name in names] * 20
    os.close(own._handles.popitem()[1])
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda name: read_image(archive / name).sum(), names * 20))
    assert found == expected and len([key for key in own._handles if key[0] == str(archive)]) == 1
