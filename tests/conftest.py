from __future__ import annotations

import signal

import pytest

pytest_plugins = ["tests.support.sanic_client", "tests.support.skips"]


def pytest_configure(config: pytest.Config) -> None:
    """A worker of pytest-xdist ignores SIGINT, and what it starts would inherit that: tests send it to processes."""
    if hasattr(config, "workerinput"):
        signal.signal(signal.SIGINT, signal.default_int_handler)
