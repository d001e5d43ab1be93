import pytest
from rich.console import Console

from export.latency import Latency, print_latencies, summarise


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
