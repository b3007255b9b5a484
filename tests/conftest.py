from __future__ import annotations

import signal

import pytest
from hypothesis import settings

pytest_plugins = ["tests.support.sanic_client", "tests.support.skips"]

# How long an example takes says how busy the machine is, and not whether the program is right.
settings.register_profile("patient", settings(), deadline=None)
settings.load_profile("patient")


def pytest_configure(config: pytest.Config) -> None:
    """A worker of pytest-xdist ignores SIGINT, and what it starts would inherit that: tests send it to processes."""
    if hasattr(config, "workerinput"):
        signal.signal(signal.SIGINT, signal.default_int_handler)
