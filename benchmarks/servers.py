"""The servers that are measured: how each is started, what it speaks, which version it is."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Self

from benchmarks.dialects import CENTRIFUGE, SOCKET_IO, Dialect
from benchmarks.host import BenchmarkError, pinned
from benchmarks.install import PEERS, Tools, run

OWN = "wsplatform"
SEND, JOIN, WS = "C, send", "C, join", "ws"
_START_SECONDS = 30.0
DEVELOPMENT_ADMIN_KEY = "development-only-admin-key-0000000000000"


@dataclass(frozen=True, slots=True)
class Server:
    """`command` is given the port. `ready`: a path that answers 200 once it serves; empty: it does when it listens."""

    name: str
    version: str
    dialect: Dialect
    command: Callable[[int], Sequence[str | Path]]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: str = ""


class Running:
    """One process of a server on its core. `port`: where it listens."""

    def __init__(self, server: Server, core: int, folder: Path) -> None:
        self.server = server
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(dir=folder)
        self._log = Path(self._folder.name, "log").open("w+b")  # noqa: SIM115 - open as long as the process
        command = [str(part) for part in server.command(self.port)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WSP_")}
        with pinned(core):
            self._process = subprocess.Popen(
                command,
                cwd=self._folder.name,
                env={**kept, **server.environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            assert stream is not None
            stream.close()
        self._folder.cleanup()

    def ask(self, command: str) -> dict[str, float]:
        """A probe (benchmarks/probes) answers a line with a line of JSON."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError(f"{self.server.name} ended: {self._said()}")
        answer: dict[str, float] = json.loads(line)
        return answer

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._serves():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise BenchmarkError(f"{self.server.name} does not start: {self._said()}")
            time.sleep(0.05)

    def _serves(self) -> bool:
        try:
            if not self.server.ready:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return True
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{self.server.ready}", timeout=1) as response:
                return bool(response.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def _said(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace").strip()[-1000:]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def own(settings: Mapping[str, str] | None = None, *, role: str = "all") -> Server:
    """wsplatform as a user starts it; further settings by environment."""
    return Server(
        OWN,
        _own_version(),
        CENTRIFUGE,
        lambda port: (
            sys.executable,
            "-m",
            "wsplatform",
            "serve",
            "--env",
            "development",
            "--role",
            role,
            "--port",
            str(port),
        ),
        {"WSP_REGISTRY__DATABASE": "sqlite:///registry.db", "PYTHONPATH": str(PEERS.parent.parent), **(settings or {})},
        "/health/ready",
    )


def wait_for_nodes(registry: int, count: int) -> None:
    """Until the registry at this port says that so many nodes are ready."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{registry}/admin/v1/nodes", headers={"X-API-Key": DEVELOPMENT_ADMIN_KEY}
    )
    deadline = time.monotonic() + _START_SECONDS
    while True:
        with urllib.request.urlopen(request, timeout=5) as response:
            nodes = json.load(response)["items"]
        if sum(node["ready"] for node in nodes) == count:
            return
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{count} nodes do not get ready: {nodes}")
        time.sleep(0.05)


def limits(tools: Tools) -> list[Server]:
    return [
        Server(SEND, tools.compiler, CENTRIFUGE, lambda port: (tools.limit, str(port), "send")),
        Server(JOIN, tools.compiler, CENTRIFUGE, lambda port: (tools.limit, str(port), "join")),
    ]


def peers(tools: Tools) -> list[Server]:
    """Those that can be started here; `tools.missing` has the others."""
    found = []
    if tools.node is not None:
        node, node_version = tools.node, "node " + run(tools.node, "--version").removeprefix("v")
        found += [
            Server(WS, f"{_npm_version('ws')}, {node_version}", CENTRIFUGE, _script(node, "ws.mjs")),
            Server(
                "socket.io", f"{_npm_version('socket.io')}, {node_version}", SOCKET_IO, _script(node, "socketio.mjs")
            ),
        ]
    if tools.bun is not None:
        found.append(Server("bun", run(tools.bun, "--version"), CENTRIFUGE, _script(tools.bun, "bun.js")))
    if tools.python is not None:
        name = _pypi_version(tools.python)
        found += [
            Server(
                "python-socketio",
                name("python-socketio", "aiohttp"),
                SOCKET_IO,
                _script(tools.python, "python_socketio.py"),
            ),
            Server(
                "websockets", name("websockets", "uvloop"), CENTRIFUGE, _script(tools.python, "websockets_broadcast.py")
            ),
        ]
    if tools.centrifugo is not None:
        found.append(_centrifugo(tools.centrifugo))
    return found


def _script(interpreter: Path, name: str) -> Callable[[int], Sequence[str | Path]]:
    return lambda port: (interpreter, PEERS / name, str(port))


def _centrifugo(binary: Path) -> Server:
    """Settings of its version 6, by environment."""
    settings = {
        "CENTRIFUGO_CLIENT_INSECURE": "true",
        "CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_ALLOW_SUBSCRIBE_FOR_CLIENT": "true",
        "CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_ALLOW_PUBLISH_FOR_CLIENT": "true",
        "CENTRIFUGO_LOG_LEVEL": "warn",
        "GOMAXPROCS": "1",
    }
    return Server(
        "centrifugo",
        run(binary, "version").splitlines()[0],
        CENTRIFUGE,
        lambda port: (binary, "--http_server.address", "127.0.0.1", "--http_server.port", str(port)),
        settings,
    )


def _own_version() -> str:
    try:
        commit = run("git", "-C", PEERS, "rev-parse", "--short", "HEAD")
    except BenchmarkError:
        commit = "no git"
    return f"{version('wsplatform')} ({commit}), Python {platform.python_version()}, uvloop {version('uvloop')}"


def _npm_version(package: str) -> str:
    found: str = json.loads((PEERS / "node_modules" / package / "package.json").read_text())["version"]
    return found


def _pypi_version(python: Path) -> Callable[[str, str], str]:
    def of(package: str, base: str) -> str:
        code = f"from importlib.metadata import version as v; print(v('{package}') + ', {base} ' + v('{base}'))"
        return f"{run(python, '-c', code)}, Python {platform.python_version()}"

    return of
