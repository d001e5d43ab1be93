"""What the tests of several rooms begin with."""

from pathlib import Path

import pytest
from street_set import write_cityscapes


@pytest.fixture(scope="session")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set in the layout of Cityscapes, 6 frames to train on and 3 to measure on. Read only: all tests share it."""
    root = tmp_path_factory.mktemp("streets")
    write_cityscapes(root, "train", 6)
    write_cityscapes(root, "val", 3)
    return root


WITHOUT_SHARED = "skipped for want of ../shared"


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
    """Tests of real data that is not beside this checkout: a number of their own in the last line."""
    if report.skipped and isinstance(report.longrepr, tuple) and "../shared/" in report.longrepr[2]:
        return WITHOUT_SHARED, "s", "SKIPPED"
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What is not there, since `-r` knows pytest's own kinds of outcome only."""
    for report in terminalreporter.stats.get(WITHOUT_SHARED, []):
        terminalreporter.write_line(f"SKIPPED {report.nodeid}: {report.longrepr[2].removeprefix('Skipped: ')}")
