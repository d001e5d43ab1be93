"""Meters over files laid out as the kernel does."""

import time
from pathlib import Path

import pytest

from export.bench.meters import SAMPLE_S, Meter, Rapl, open_meters


def write(folder: Path, **values: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (folder / name).write_text(f"{value}\n")
    return folder


def test_rapl_counts_packages_once_and_over_the_end_of_the_counter(tmp_path: Path) -> None:
    powercap = tmp_path / "class" / "powercap"
    package = write(powercap / "intel-rapl:0", name="package-0", energy_uj=9_000_000, max_energy_range_uj=10_000_000)
    write(powercap / "intel-rapl:0:0", name="core", energy_uj=1, max_energy_range_uj=10)
    with open_meters(tmp_path) as meters:
        assert [meter.name for meter in meters if "RAPL" in meter.name] == ["RAPL package-0"]
        before = meters[0].joules()
        write(package, energy_uj=9_500_000)
        assert meters[0].joules() - before == pytest.approx(0.5)
        write(package, energy_uj=1_500_000)
        assert meters[0].joules() - before == pytest.approx(2.5)


def test_a_counter_that_may_not_be_read_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "class" / "powercap" / "intel-rapl:0", name="package-0", max_energy_range_uj=5)  # no energy_uj
    with pytest.raises(OSError, match="energy_uj"):
        Rapl(tmp_path / "class" / "powercap" / "intel-rapl:0")
    with open_meters(tmp_path) as meters:
        assert not [meter for meter in meters if "RAPL" in meter.name]


def test_a_jetsons_rail_is_summed_up(tmp_path: Path) -> None:
    """5 V and 2 A: 10 W, so a joule each 0.1 s; the CPU's own rail is part of it."""
    hwmon = tmp_path / "class" / "hwmon" / "hwmon3"
    write(hwmon, in1_label="VDD_IN", in1_input=5000, curr1_input=2000)
    write(hwmon, in2_label="VDD_CPU_GPU_CV", in2_input=5000, curr2_input=1000)
    with open_meters(tmp_path) as meters:
        (meter,) = rails(meters)
        before, start = meter.joules(), time.perf_counter()
        time.sleep(2.5 * SAMPLE_S)
        joules, seconds = meter.joules() - before, time.perf_counter() - start
    assert joules == pytest.approx(10 * seconds, rel=0.1)


def rails(meters: list[Meter]) -> list[Meter]:
    return [meter for meter in meters if meter.name.startswith("INA3221")]
