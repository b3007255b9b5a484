"""The command line as a user calls it: a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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


class Subscriber:
    """`wsplatform subscribe`."""

    def __init__(self, url: str, *arguments: str) -> None:
        self._arguments = ("subscribe", "--server", url, *arguments)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *program(*self._arguments), env=clean_environment(), stdout=-1, stderr=-1
        )
        assert self._process.stderr is not None
        line = await asyncio.wait_for(self._process.stderr.readline(), 20)
        assert line.startswith(b"subscribed to "), line

    async def lines(self) -> list[Any]:
        assert self._process is not None
        out, errors = await asyncio.wait_for(self._process.communicate(), 20)
        assert self._process.returncode == 0, errors
        return [json.loads(line) for line in out.splitlines()]

    async def end(self) -> None:
        """Whether it has ended by itself or not."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.communicate()
