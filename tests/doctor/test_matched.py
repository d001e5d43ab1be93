"""Which versions go together: by the table, only where a provider did not run, with the one to take."""

from pathlib import Path

import pytest

from advmtl.doctor import devices
from advmtl.doctor.matched import jetpack_of, mismatch, release_of
from advmtl.doctor.probe import Outcome

CUDA_12 = {"nvidia-cublas-cu12": "12.8.4.1"}
CUDA_13 = {"nvidia-cublas": "13.1.1.3"}


@pytest.mark.parametrize(
    ("version", "cuda", "tensorrt"),
    [
        ("1.16.3", 11, 8),
        ("1.18.1", 11, 10),
        ("1.20.0", 12, 10),
        ("1.26.0", 12, 10),
        ("1.27.0", 13, 10),
        ("2.0", 13, 10),
    ],
)
def test_the_row_of_a_version(version: str, cuda: int, tensorrt: int) -> None:
    row = release_of(version)
    assert row is not None and (row.cuda, row.tensorrt) == (cuda, tensorrt)


def test_an_older_one_than_the_table_is_not_judged() -> None:
    assert release_of("1.9.0") is None and mismatch("CUDA", "1.9.0", CUDA_13) is None


@pytest.mark.parametrize(
    ("provider", "version", "there", "said", "remedy"),
    [
        ("CUDA", "1.31.1", CUDA_12, "loads CUDA 13, the wheels of CUDA 12", "onnxruntime-gpu[cuda,cudnn]>=1.19,<1.27"),
        ("CUDA", "1.26.0", CUDA_13, "loads CUDA 12, the wheels of CUDA 13", "onnxruntime-gpu[cuda,cudnn]>=1.27'"),
        ("Tensorrt", "1.31.1", {"tensorrt": "11.4.0.106"}, "TensorRT 11 is installed", "'tensorrt-cu13>=10,<11'"),
        ("Tensorrt", "1.17.1", {"tensorrt-cu12": "10.3.0"}, "loads TensorRT 8", "'tensorrt-cu11>=8,<9'"),
    ],
)
def test_what_does_not_go_together(provider: str, version: str, there: dict[str, str], said: str, remedy: str) -> None:
    found = mismatch(provider, version, there)
    assert found is not None and said in found[0] and remedy in found[1]


def test_what_goes_together_and_what_is_not_known() -> None:
    assert mismatch("CUDA", "1.31.1", CUDA_13 | CUDA_12) is None
    assert mismatch("CUDA", "1.31.1", {}) is None  # the system's own CUDA
    assert mismatch("Tensorrt", "1.31.1", CUDA_13 | {"tensorrt": "10.16.1.11"}) is None


def test_the_doctor_tells_it_of_a_provider_that_did_not_run() -> None:
    def attempt(_: str, provider: str) -> Outcome:
        return Outcome({"error": None if provider.startswith("Tensorrt") else "left out"}, "", "")

    listed = Outcome({"version": "1.31.1", "listed": ["TensorrtExecutionProvider", "CUDAExecutionProvider"]}, "", "")
    there = CUDA_12 | {"tensorrt": "11.4.0"}
    tensorrt, cuda = devices.provider_lines(listed, "580.65", attempt, there)
    assert tensorrt.status == "ok"  # another build than the index's may load it: what runs is not doubted
    assert cuda.status == "warning" and "the wheels of CUDA 12 are installed" in cuda.found and "<1.27" in cuda.remedy


@pytest.mark.parametrize(
    ("text", "name", "status"),
    [
        ("# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref", "5.1", "warning"),
        ("# R36 (release), REVISION: 3.0, GCID: 36191598", "6.0", "warning"),
        ("# R36 (release), REVISION: 4.3, GCID: 38968081", "6.1 or 6.2", "ok"),
        ("# R38 (release), REVISION: 2.0, GCID: 4", "7.0", "ok"),
    ],
)
def test_jetpack(tmp_path: Path, text: str, name: str, status: str) -> None:
    path = tmp_path / "nv_tegra_release"
    path.write_text(text)
    found = jetpack_of(path)
    assert found is not None and found.name == name
    (line,) = devices.jetpack_lines(path)
    assert line.status == status and f"JetPack {name}" in line.found


@pytest.mark.parametrize("text", ["", "# R32 (release), REVISION: 7.1", "R36", "hello"])
def test_no_jetpack(tmp_path: Path, text: str) -> None:
    path = tmp_path / "nv_tegra_release"
    path.write_text(text)
    assert jetpack_of(path) is None and list(devices.jetpack_lines(path)) == []
    assert jetpack_of(tmp_path / "none") is None
