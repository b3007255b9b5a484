"""The command line as a user calls it: a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

SECONDS = 30.0


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without settings, and `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WSP_")}
    return {**kept, **(more or {})}


def program(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "wsplatform", *arguments]


def wsplatform(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end; `text` is its standard input."""
    return subprocess.run(
        program(*arguments),
        env=clean_environment(env),
        cwd=cwd,
        input=text,
        stdin=subprocess.DEVNULL if text is None else None,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
