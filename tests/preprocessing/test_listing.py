"""The files of a folder by name, at any depth."""

from pathlib import Path

from preprocessing.ground.listing import list_files, nearest_name


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_names_keep_their_folders_and_come_by_folder_then_name(tmp_path: Path) -> None:
    touch(tmp_path, "b/1.png", "a/x/2.webp", "a/9.TIF", "z.pgm", "a/10.bmp", ".hidden.png", "a/.deep/3.png")
    found = list_files(tmp_path)
    assert list(found.names) == ["z", "a/10", "a/9", "a/x/2", "b/1"]
    assert found.files["a/9"] == tmp_path / "a/9.TIF" and found.find("a/x/3") is None
    assert found.unread() == ""


def test_other_kinds_are_counted_and_notes_are_not(tmp_path: Path) -> None:
    touch(tmp_path, "1.png", "2.heic", "d/3.heic", "4.raw", "manifest.jsonl", "notes.txt")
    assert list_files(tmp_path).unread() == f"{tmp_path}: 3 files of other kinds (2 .heic, 1 .raw) are not read"
    (tmp_path / "4.raw").unlink()
    (tmp_path / "2.heic").unlink()
    assert list_files(tmp_path).unread() == f"{tmp_path}: 1 file of another kind (.heic) is not read"


def test_of_two_files_of_one_name_that_without_loss_is_taken_and_the_other_named(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg", "1.png", "1.webp")
    found = list_files(tmp_path)
    assert found.names == {"1": "1.png"}
    assert "2 files of a name that another has, too, e.g. 1.jpg" in found.unread()


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png")
    (tmp_path / "a/again").symlink_to(tmp_path)
    assert list(list_files(tmp_path).names) == ["a/1"]


def test_nearest_names() -> None:
    assert nearest_name("0_L", ["7", "0", "12"]) == "0"
    assert nearest_name("left_0007", ["right_0006", "right_0007"]) == "right_0007"
    assert nearest_name("a", []) is None
