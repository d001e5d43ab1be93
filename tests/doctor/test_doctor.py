"""The doctor: each fault is a line with a remedy, and nothing that breaks in a check ends it."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from street_set import write_cityscapes
from typer.testing import CliRunner

from advmtl.cli.app import app
from advmtl.doctor import devices, installed, machine, probe
from advmtl.doctor import report as report_module
from advmtl.doctor.installed import Finding
from advmtl.doctor.probe import Outcome, run_probe
from advmtl.doctor.report import examine, guarded, next_steps
from preprocessing.ground.limits import usable_cores, usable_memory

GB = 1024**3
REQUIREMENTS = (">=3.11", ["torch>=2.8", "onnxruntime-gpu>=1.20", "embreex>=2.17; extra == 'synth'"])
GOOD = {"torch": "2.15.0", "onnxruntime-gpu": "1.31.1", "embreex": "4.4"}
CPU_ONLY = {"torch": "2.15.0", "cuda_build": None, "torchvision": "0.29", "cpu": {"error": None, "capability": "AVX2"}}


def answered(**values: object) -> Outcome:
    return Outcome(dict(values), "", "")


def by_name(lines: list[Finding]) -> dict[str, Finding]:
    return {line.name: line for line in lines}


def found(there: dict[str, str]) -> dict[str, Finding]:
    return by_name(list(installed.check_packages(there, REQUIREMENTS)))


def test_versions_are_held_against_the_bounds() -> None:
    assert {line.status for line in found(GOOD).values()} == {"ok"}
    old = found(GOOD | {"torch": "2.7.1"})["torch"]
    assert old.status == "broken" and old.found == "2.7.1, needs >=2.8" and old.remedy == "pip install 'torch>=2.8'"
    assert found(GOOD | {"torch": "2.9.0rc1"})["torch"].status == "ok"  # a release candidate is newer than 2.8
    none = {name: version for name, version in GOOD.items() if name != "torch"}
    assert found(none)["torch"].status == "broken" and "not installed" in found(none)["torch"].found
    without_extra = found({"torch": "2.15.0", "onnxruntime-gpu": "1.31.1"})["embreex"]
    assert without_extra.status == "missing" and without_extra.remedy == "pip install '.[synth]'"


def test_another_build_of_onnxruntime_will_do_and_two_at_once_are_told() -> None:
    other = found({"torch": "2.15.0", "onnxruntime": "1.31.1", "embreex": "4.4"})
    assert other["onnxruntime-gpu"].status == "ok" and "without the CUDA" in other["onnxruntime-gpu"].found
    both = found(GOOD | {"onnxruntime": "1.31.1"})["onnxruntime twice"]
    assert both.status == "warning" and "overwrite" in both.found
    assert both.remedy == "pip uninstall --yes onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu"


def test_what_the_extra_for_boards_lists_again_is_told_once() -> None:
    texts = ["numpy>=2.0", "opencv-python>=4.12"]
    texts += [f"{text}; extra == 'runtime'" for text in texts]
    lines = list(installed.check_packages({"numpy": "2.3", "opencv-python-headless": "5.0"}, (">=3.11", texts)))
    assert [line.name for line in lines] == ["advmtl", "Python", "numpy", "opencv-python"]
    assert lines[-1].status == "ok" and lines[-1].found == "opencv-python-headless 5.0, in place of opencv-python"


def test_the_checkout_s_own_bounds_are_read() -> None:
    python, texts = installed.declared()
    assert python == ">=3.11" and any(text.startswith("torchjd[") for text in texts)
    names = set(by_name(list(installed.check_packages())))
    assert {"Python", "torch", "torchjd", "tensorboard", "tensorrt", "embreex"} <= names
    assert "pytest" not in names and not any("extra" in name for name in names)


def cgroup_v2(tmp_path: Path, **files: str) -> tuple[Path, Path]:
    proc, group = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text("0::/jobs/mine\n")
    (proc / "meminfo").write_text(f"MemTotal: {32 * GB // 1024} kB\nMemAvailable: {20 * GB // 1024} kB\n")
    (group / "jobs" / "mine").mkdir(parents=True)
    for name, text in files.items():
        (group / "jobs" / name.replace("__", "/").replace("_", ".", 1)).write_text(text)
    return proc, group


def test_limits_of_a_container_hold_also_those_of_a_group_above(tmp_path: Path) -> None:
    proc, group = cgroup_v2(
        tmp_path,
        cpu_max="50000 100000\n",
        mine__cpu_max="max 100000\n",
        memory_max=f"{4 * GB}\n",
        memory_current=f"{3 * GB}\n",
        memory_stat=f"anon 5\ninactive_file {GB}\n",
    )
    (group / "jobs" / "mine" / "cpu.max").write_text("max 100000\n")
    cores, _ = usable_cores(proc, group)
    assert cores == 0.5
    memory = usable_memory(proc, group)
    assert memory is not None and memory.limited
    assert memory.total == 4 * GB and memory.free == 2 * GB  # cached file pages are given back


def test_without_limits_the_machine_counts(tmp_path: Path) -> None:
    proc, group = cgroup_v2(tmp_path, cpu_max="max 100000\n", memory_max="max\n")
    memory = usable_memory(proc, group)
    assert memory is not None and (memory.total, memory.free, memory.limited) == (32 * GB, 20 * GB, False)
    assert usable_cores(proc, group)[0] >= 1
    assert usable_memory(tmp_path / "nowhere", group) is None


def test_limits_of_cgroup_v1_where_the_path_is_the_host_s(tmp_path: Path) -> None:
    proc, group = cgroup_v2(tmp_path)
    (proc / "self" / "cgroup").write_text("4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n0::/\n")
    (group / "cpu,cpuacct").mkdir()
    (group / "cpu,cpuacct" / "cpu.cfs_quota_us").write_text("25000\n")
    (group / "cpu,cpuacct" / "cpu.cfs_period_us").write_text("100000\n")
    (group / "memory").mkdir()
    (group / "memory" / "memory.limit_in_bytes").write_text(f"{2 * GB}\n")
    (group / "memory" / "memory.usage_in_bytes").write_text(f"{GB}\n")
    assert usable_cores(proc, group)[0] == 0.25
    memory = usable_memory(proc, group)
    assert memory is not None and (memory.total, memory.free) == (2 * GB, GB)


def test_a_full_disk_and_a_small_shared_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert machine.disk_line("disk", tmp_path / "not" / "yet", needed=True).status in ("ok", "warning")
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: SimpleNamespace(free=50_000_000, total=10**12))
    assert machine.disk_line("disk", tmp_path, needed=True).status == "broken"
    assert machine.disk_line("cache", tmp_path, needed=False).status == "warning"

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(machine.tempfile, "NamedTemporaryFile", full)
    line = machine.disk_line("disk", tmp_path, needed=True)
    assert line.status == "broken" and "No space left" in line.found and line.remedy
    docker = machine.shared_memory_line(64 * 2**20, workers=2, batch_size=8, size=(512, 256))
    assert docker.status == "warning" and "--shm-size" in docker.remedy
    assert machine.shared_memory_line(GB, 2, 8, (512, 256)).status == "ok"
    assert machine.memory_line(8 * GB, GB, True).status == "warning"


def test_a_listed_provider_that_fails_is_told_with_reason_and_remedy() -> None:
    noise = "Failed to load library x.so with error: libcublasLt.so.12: cannot open shared object file: No such file\n"

    def attempt(_: str, provider: str) -> Outcome:
        if provider.startswith("Tensorrt"):
            return Outcome(None, "crashed (SIGSEGV)", "")
        if provider.startswith("CUDA"):
            return Outcome({"error": "left out, CPUExecutionProvider would run"}, "", noise)
        return answered(error=None)

    listed = answered(listed=["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"])
    lines = by_name(list(devices.provider_lines(listed, "550.54", attempt)))
    assert lines["CUDA"].status == "warning" and "libcublasLt.so.12 is missing" in lines["CUDA"].found
    assert "pip install '.[gpu]'" in lines["CUDA"].remedy
    assert "SIGSEGV" in lines["Tensorrt"].found and "[tensorrt]" in lines["Tensorrt"].remedy
    assert lines["CPU"].status == "ok"
    without_driver = by_name(list(devices.provider_lines(listed, None, attempt)))
    assert without_driver["CUDA"].status == "missing" and "no NVIDIA driver" in without_driver["CUDA"].found
    no_cuda = by_name(list(devices.provider_lines(answered(listed=["CPUExecutionProvider"]), "550.54", attempt)))
    assert no_cuda["CUDA"].status == "warning" and "onnxruntime-gpu" in no_cuda["CUDA"].remedy
    broken = list(devices.provider_lines(answered(error="ImportError: no"), None, attempt))
    assert [line.status for line in broken] == ["broken"]


def test_devices_that_compute_and_that_do_not() -> None:
    card = {"device": "cuda:0", "name": "Card", "capability": "8.6", "total_bytes": 24 * GB, "free_bytes": 20 * GB}
    good = card | {"error": None, "bf16": True, "fp16": True}
    bad = card | {"device": "cuda:1", "error": "RuntimeError: no kernel image is available"}
    lines = by_name(list(devices.torch_lines(answered(**CPU_ONLY, devices=[good, bad]), "550.54", True)))
    assert lines["cuda:0"].status == "ok" and "bf16 and fp16" in lines["cuda:0"].found
    assert "8.6" in lines["cuda:0"].found and "driver 550.54" in lines["cuda:0"].found
    assert lines["cuda:1"].status == "broken" and "no kernel image" in lines["cuda:1"].found


@pytest.mark.parametrize(
    ("driver", "build", "card", "status", "part"),
    [
        ("550.54", None, True, "warning", "built for the CPU alone"),
        ("550.54", "12.8", True, "warning", "sees no device"),
        (None, "12.8", True, "warning", "without a driver"),
        (None, "12.8", False, "missing", "everything runs on the CPU"),
    ],
)
def test_why_there_is_no_device(driver: str | None, build: str | None, card: bool, status: str, part: str) -> None:
    answer = answered(**CPU_ONLY | {"cuda_build": build}, devices=[])
    line = by_name(list(devices.torch_lines(answer, driver, card)))["CUDA"]
    assert line.status == status and part in line.found


def test_torch_or_torchvision_that_does_not_import_is_broken() -> None:
    [line] = devices.torch_lines(Outcome(None, "crashed (SIGILL)", ""), None, False)
    assert line.status == "broken" and "SIGILL" in line.found
    answer = CPU_ONLY | {"torchvision": None, "torchvision_error": "RuntimeError: operator torchvision::nms"}
    lines = by_name(list(devices.torch_lines(answered(**answer, devices=[]), None, False)))
    assert lines["torchvision"].status == "broken" and "nms" in lines["torchvision"].found


def test_the_driver_s_version_and_a_card_on_the_bus(tmp_path: Path) -> None:
    (tmp_path / "driver" / "nvidia").mkdir(parents=True)
    text = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n"
    (tmp_path / "driver" / "nvidia" / "version").write_text(text)
    assert devices.nvidia_driver(tmp_path) == "550.54.15"
    bus = tmp_path / "bus"
    for name, vendor, kind in (("0", "0x8086", "0x030000"), ("1", "0x10de", "0x040300")):
        (bus / name).mkdir(parents=True)
        (bus / name / "vendor").write_text(vendor + "\n")
        (bus / name / "class").write_text(kind + "\n")
    assert not devices.nvidia_card(bus)  # an Intel display, and the sound of an NVIDIA card
    (bus / "1" / "class").write_text("0x030200\n")
    assert devices.nvidia_card(bus) and not devices.nvidia_card(tmp_path / "none")


def test_weights_are_named_as_torchvision_names_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from torchvision.models import MobileNet_V3_Large_Weights, MobileNet_V3_Small_Weights

    from advmtl.networks.perceptual import _DOWNLOADS

    large = MobileNet_V3_Large_Weights.IMAGENET1K_V2
    used = [MobileNet_V3_Small_Weights.IMAGENET1K_V1, large, *_DOWNLOADS.values()]
    assert [one.file for one in installed.PUBLISHED] == [Path(one.url).name for one in used]
    for variable, value in (("TORCH_HOME", str(tmp_path / "t")), ("XDG_CACHE_HOME", str(tmp_path / "x"))):
        monkeypatch.delenv("TORCH_HOME", raising=False)
        monkeypatch.setenv(variable, value)
        assert installed.hub_folder() == Path(torch.hub.get_dir()) / "checkpoints"


def test_damaged_and_absent_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = installed.PUBLISHED[-1]
    (tmp_path / one.file).write_bytes(b"half a file")
    lines = by_name(list(installed.check_weights(tmp_path)))
    assert lines[one.name].status == "warning" and "damaged" in lines[one.name].found
    absent = lines["VGG16"]
    assert absent.status == "missing" and str(tmp_path) in absent.remedy and "vgg16-397923af.pth" in absent.remedy
    assert lines["LPIPS calibration"].status == "ok"
    digits = "73c0dcba7c9e1c8df0e2d2e63a9a27bd"  # of any length: the name has the first eight
    monkeypatch.setattr(installed, "_sha256", lambda _: one.digits + digits)
    assert by_name(list(installed.check_weights(tmp_path)))[one.name].status == "ok"


def test_encoders_cameras_and_a_broken_opencv(tmp_path: Path) -> None:
    answer = answered(backends={"FFMPEG": True}, encoders={"mp4v": "0 of 6 frames could be read back", "avc1": "none"})
    lines = by_name(list(devices.video_lines(answer)))
    assert lines["encoder mp4v"].status == "warning" and lines["encoder avc1"].status == "missing"
    assert lines["FFMPEG"].status == "ok" and lines["V4L2"].status == "warning"
    [broken] = devices.video_lines(Outcome(None, "ImportError: libGL.so.1", ""))
    assert broken.status == "broken" and "headless" in broken.remedy
    assert [line.status for line in devices.camera_lines(tmp_path, tmp_path)] == ["missing"]
    (tmp_path / "video10").touch()
    (tmp_path / "video2").touch()
    assert [line.name[-2:] for line in devices.camera_lines(tmp_path, tmp_path)] == ["o2", "10"]


def test_what_crashes_hangs_or_dies_in_a_probe_is_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    bodies = {
        "crash": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)",
        "hang": "import time\ntime.sleep(60)",
        "leave": "import sys\nprint('libfoo: cannot open', file=sys.stderr)\nsys.exit(3)",
        "good": f"print('noise')\nprint('{probe.MARK}' + '{{\"a\": 1}}')",
    }
    for name, body in bodies.items():
        (tmp_path / f"made_up_{name}.py").write_text(body)
    seen = {name: run_probe(time_limit_s=3 if name == "hang" else 30, module=f"made_up_{name}") for name in bodies}
    assert seen["crash"].fault == "crashed (SIGSEGV)"
    assert seen["hang"].fault == "gave no answer in 3 s"
    assert seen["leave"].fault == "libfoo: cannot open"
    assert seen["good"].answer == {"a": 1} and not seen["good"].fault


def test_a_probe_that_raises_answers_with_the_error() -> None:
    answer = run_probe("provider", "NoSuchExecutionProvider").answer
    assert answer is not None and answer["error"]


def test_a_check_that_raises_is_a_line() -> None:
    def check() -> list[Finding]:
        raise ZeroDivisionError("by zero")

    [line] = guarded("machine", "memory", check)
    assert line.status == "warning" and "ZeroDivisionError: by zero" in line.found


def nothing_works(*_: str) -> Outcome:
    return Outcome(None, "crashed (SIGBUS)", "")


def test_everything_broken_is_still_a_whole_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "installed_versions", lambda: 1 / 0)
    seen = examine(tmp_path, nothing_works)
    assert not seen.ok and seen.next == []
    broken = {line.name for line in seen.lines if line.status == "broken"}
    assert {"torch", "onnxruntime", "OpenCV"} <= broken
    assert "ZeroDivisionError" in by_name(seen.lines)["packages"].found
    json.dumps(seen.to_dict(), allow_nan=False)


def test_the_command_prints_a_table_or_json_and_its_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = report_module.Examination([Finding("devices", "cpu[0]", "ok", "computes")], ["advmtl synth x"], 0.1)
    monkeypatch.setattr(report_module, "examine", lambda _: seen)
    result = CliRunner().invoke(app, ["doctor", "--json", str(tmp_path / "d.json")])
    assert result.exit_code == 0 and "cpu[0]" in result.stdout and "next: advmtl synth x" in result.stdout
    assert json.loads((tmp_path / "d.json").read_text())["lines"][0]["status"] == "ok"
    seen.lines.append(Finding("packages", "torch", "broken", "2.7, needs >=2.8", "pip install 'torch>=2.8'"))
    result = CliRunner().invoke(app, ["doctor", "--json", "-"])
    assert result.exit_code == 1 and json.loads(result.stdout)["ok"] is False
    result = CliRunner().invoke(app, ["doctor", "--json", str(tmp_path / "no" / "d.json")])
    assert result.exit_code == 2 and "--json" in result.stderr


def test_nothing_heavy_is_imported_before_it_is_tried() -> None:
    code = "import sys, advmtl.cli.app, advmtl.doctor.report as e; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "cv2", "onnxruntime", "torchvision", "tensorrt", "numpy"} & set(done.stdout.split())


def test_what_to_do_next_follows_what_is_there(tmp_path: Path) -> None:
    assert next_steps(tmp_path)[0].startswith("advmtl synth data/synth")
    root = tmp_path / "data" / "my town"
    write_cityscapes(root, "train", 1)
    assert next_steps(tmp_path) == ["advmtl preprocess 'data/my town'"]
    (root / "depth").mkdir()
    (root / "depth" / "manifest.jsonl").write_text('{"frame": 1}\n')
    assert next_steps(tmp_path) == ["advmtl train model3 --data 'cityscapes:data/my town'"]
    run = tmp_path / "runs" / "a"
    (run / "checkpoints").mkdir(parents=True)
    for name in ("config.yaml", "checkpoints/last.pt"):
        (run / name).touch()
    assert next_steps(tmp_path)[0].startswith("advmtl train runs/a --out runs/a ")
    for name in ("checkpoints/best.pt", "evaluation.json"):
        (run / name).touch()
    assert next_steps(tmp_path) == ["advmtl export runs/a"]
    (run / "model.onnx").touch()
    assert next_steps(tmp_path) == ["advmtl infer runs/a/model.onnx VIDEO --out result.mp4"]
