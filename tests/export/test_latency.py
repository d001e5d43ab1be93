import numpy as np
import pytest
from rich.console import Console

from export.session.latency import Latency, Timer, print_latencies, summarise


def test_percentiles_by_hand() -> None:
    """Times 1..101 ms: the median is 51, the 90th percentile 91, the 99th lies at place 0.99 * 100, which is 100 ms."""
    times = [i / 1000 for i in range(1, 102)]
    assert summarise(times[::-1]) == Latency(101, 51.0, 51.0, 91.0, 100.0)


def test_between_two_times_it_is_linear() -> None:
    assert summarise([0.001, 0.002]) == Latency(2, 1.5, 1.5, 1.9, 1.99)


def test_nothing_measured() -> None:
    with pytest.raises(ValueError, match="no times"):
        summarise([])


def test_table_names_its_unit() -> None:
    console = Console(record=True, width=100)
    print_latencies(console, "a [heading]", {"net": Latency(7, 1.5, 1.25, 3.0, 9.875)})
    text = console.export_text()
    assert "a [heading]" in text
    assert "p50, ms" in text
    assert "1.25" in text and "9.88" in text


def test_a_timer_gives_the_percentiles_of_numpy_in_constant_memory() -> None:
    times = np.random.default_rng(0).lognormal(-5, 1, 5000)
    timer = Timer(warm_up=0)
    for time in times:
        timer.add(float(time))
    found, exact = timer.latency(), summarise(list(times))
    assert found.count == exact.count and found.mean_ms == pytest.approx(exact.mean_ms, abs=1e-4)
    for name in ("p50_ms", "p90_ms", "p99_ms"):
        assert getattr(found, name) == pytest.approx(getattr(exact, name), rel=2e-3)
    assert len(timer._early) == 0 and timer._bins.nbytes < 100_000


def test_a_timer_leaves_the_first_times_out_unless_there_are_no_others() -> None:
    timer = Timer(warm_up=2)
    with pytest.raises(ValueError, match="no times"):
        timer.latency()
    timer.add(9.0)
    assert timer.latency() == summarise([9.0])
    timer.add(8.0)
    assert timer.latency() == summarise([8.0])
    timer.add(0.01)
    timer.add(0.03)
    found = timer.latency()
    assert found.count == 2 and found.mean_ms == 20
    assert found.p50_ms == pytest.approx(20, rel=2e-3) and found.p99_ms == pytest.approx(29.8, rel=2e-3)


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1e6])
def test_a_timer_takes_any_time(seconds: float) -> None:
    timer = Timer(warm_up=0)
    timer.add(seconds)
    assert timer.latency().count == 1
