"""A pytest plugin: a test that is skipped without being listed in tests/allowed-skips.txt fails the run."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest

LIST = Path(__file__).parent.parent / "allowed-skips.txt"


def allowed(lines: list[str]) -> dict[str, str]:
    """Pattern of node ids -> reason."""
    pairs = (line.partition(" ") for line in lines if line.strip() and not line.startswith("#"))
    return {pattern: reason.strip() for pattern, _, reason in pairs}


class Skips:
    """Keeps the node ids of skipped tests and modules, and judges them when all is done."""

    def __init__(self, permitted: dict[str, str]) -> None:
        self._permitted = permitted
        self._skipped: dict[str, str] = {}

    @property
    def _unlisted(self) -> list[str]:
        return [name for name in self._skipped if not any(fnmatchcase(name, pattern) for pattern in self._permitted)]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._unlisted and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._skipped:
            return
        terminalreporter.section("skips")
        for pattern, reason in self._permitted.items():
            terminalreporter.write_line(f"allowed: {pattern} ({reason})")
        for name in self._unlisted:
            terminalreporter.write_line(f"NOT ALLOWED: {name}: {self._skipped[name]}", red=True)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            why = report.longrepr
            self._skipped[report.nodeid] = str(why[2] if isinstance(why, tuple) else why)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Skips(allowed(LIST.read_text(encoding="utf-8").splitlines())), "skips")
