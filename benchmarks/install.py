"""What has to be there before measuring: the native programs compiled, the peers installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.host import BenchmarkError

HERE = Path(__file__).parent
PEERS = HERE / "peers"
_VENV = PEERS / ".venv"
_NPM, _PYPI, _CENTRIFUGO = ("ws", "socket.io", "bun"), ("python-socketio", "websockets"), "centrifugo"
NAMES: Final = (*_NPM, *_PYPI, _CENTRIFUGO)
"""Of the peers."""


@dataclass(slots=True)
class Tools:
    """What could be had of what was asked for. missing: peer -> why it is left out."""

    generator: Path
    limit: Path
    compiler: str
    node: Path | None = None
    bun: Path | None = None
    python: Path | None = None
    centrifugo: Path | None = None
    missing: dict[str, str] = field(default_factory=dict)


def prepare(folder: Path, wanted: Collection[str]) -> Tools:
    """Compile into `folder`, install what the peers `wanted` need under benchmarks/peers.

    Raises BenchmarkError without a C compiler.
    """
    tools = _compile(folder)
    if not set(_NPM).isdisjoint(wanted):
        _npm(tools)
    if not set(_PYPI).isdisjoint(wanted):
        _pypi(tools)
    found = shutil.which("centrifugo")
    if found:
        tools.centrifugo = Path(found)
    else:
        tools.missing[_CENTRIFUGO] = "no binary of that name on PATH"
    tools.missing = {name: why for name, why in tools.missing.items() if name in wanted}
    return tools


def run(*command: str | Path, folder: Path | None = None) -> str:
    """Its output. Raises BenchmarkError with the end of what it printed."""
    try:
        done = subprocess.run(
            [str(part) for part in command], cwd=folder, capture_output=True, text=True, timeout=600, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchmarkError(f"{command[0]}: {error}") from error
    if done.returncode:
        raise BenchmarkError(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[-600:]}")
    return done.stdout.strip()


def _compile(folder: Path) -> Tools:
    compiler = shutil.which("cc")
    if compiler is None:
        raise BenchmarkError(
            "cc is missing, and with it the load generator. On Debian or Ubuntu: apt-get install gcc libc6-dev"
        )
    for name in ("generator", "limit"):
        run(compiler, "-O2", "-o", folder / name, HERE / "native" / f"{name}.c")
    return Tools(folder / "generator", folder / "limit", run(compiler, "--version").splitlines()[0])


def _npm(tools: Tools) -> None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        why = "node or npm is missing; on Debian or Ubuntu: apt-get install nodejs npm"
        tools.missing.update(dict.fromkeys(_NPM, why))
        return
    try:
        if not _is_current(PEERS / "node_modules" / ".installed", PEERS / "package-lock.json"):
            print("benchmarks: installing the peers of npm", file=sys.stderr)
            run(npm, "ci", "--no-audit", "--no-fund", folder=PEERS)
            _stamp(PEERS / "node_modules" / ".installed", PEERS / "package-lock.json")
    except BenchmarkError as error:
        tools.missing.update(dict.fromkeys(_NPM, str(error)))
        return
    tools.node = Path(node)
    # The package bun moves its binary out of the package of the platform when it is installed, if it may run scripts.
    for place in ("node_modules/.bin/bun", "node_modules/@oven/bun-linux-x64/bin/bun"):
        try:
            run(PEERS / place, "--version")
        except BenchmarkError as error:
            tools.missing["bun"] = f"its binary does not run here: {error}"
        else:
            tools.bun = PEERS / place
            tools.missing.pop("bun", None)
            return


def _pypi(tools: Tools) -> None:
    stamp, wanted = _VENV / ".installed", PEERS / "requirements.txt"
    python = _VENV / "bin" / "python"
    try:
        if not _is_current(stamp, wanted):
            print("benchmarks: installing the peers of PyPI", file=sys.stderr)
            run(sys.executable, "-m", "venv", "--clear", _VENV)
            run(python, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "-r", wanted)
            _stamp(stamp, wanted)
    except BenchmarkError as error:
        tools.missing.update(dict.fromkeys(_PYPI, str(error)))
        return
    tools.python = python


def _is_current(stamp: Path, wanted: Path) -> bool:
    return stamp.exists() and stamp.read_bytes() == wanted.read_bytes()


def _stamp(stamp: Path, wanted: Path) -> None:
    stamp.write_bytes(wanted.read_bytes())
