"""A NATS server of the tests' own, from the program that the system has."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import msgspec

from tests.support.processes import free_port
from tests.support.wait import eventually
from wsplatform.settings import NatsTable
from wsplatform.testing.transport_nodes import SETTINGS, TransportNode, introduce
from wsplatform.transports import nats
from wsplatform.transports.base import Transport, TransportContext

_START_SECONDS = 10


def program() -> str | None:
    """The path of nats-server; None: it is not installed."""
    return shutil.which("nats-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Server:
    """On a free port of loopback, the same one each time it is started. `options`: lines of its configuration."""

    def __init__(self, program: str, options: str = "") -> None:
        self._program = program
        self._folder = Path(tempfile.mkdtemp(prefix="wsp-nats-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.configure(options)

    def configure(self, options: str) -> None:
        """For the next start."""
        (self._folder / "server.conf").write_text(f'listen: "127.0.0.1:{self.port}"\n{options}\n')

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        log = self._folder / "log"
        command = [self._program, "-c", str(self._folder / "server.conf"), "-l", str(log)]
        self._process = subprocess.Popen(command, cwd=self._folder, start_new_session=True)
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert time.monotonic() < deadline, log.read_text() if log.exists() else "nothing logged"
            time.sleep(0.01)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """It stops to answer, and to read."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                return probe.recv(4) == b"INFO"
        except OSError:
            return False


class Nodes:
    """Nodes that are nothing but the transport nats, on `server` unless told otherwise."""

    def __init__(self, server: Server) -> None:
        self.all: list[TransportNode] = []
        self._server = server

    async def add(
        self, node_id: str, port: int = 0, *, table: NatsTable | None = None, **cluster: Any
    ) -> TransportNode:
        """port: of loopback, where the server is reached. cluster: what differs from the settings of the tests."""
        table = table or NatsTable(urls=(f"nats://127.0.0.1:{port or self._server.port}",))

        def create(context: TransportContext) -> Transport:
            return nats.create(replace(context, nats=table))

        node = TransportNode(node_id, create, msgspec.structs.replace(SETTINGS, **cluster))
        self.all.append(node)
        await node.start()
        return node

    async def pair(self, **ports: int) -> tuple[TransportNode, TransportNode]:
        """`a` and `b`, up for each other."""
        a, b = await self.add("a", ports.get("a", 0)), await self.add("b", ports.get("b", 0))
        introduce(a, b)
        await eventually(lambda: a.sees(b) and b.sees(a))
        return a, b

    async def stop(self) -> None:
        """Nothing is left of them, and none has seen a fault."""
        for node in self.all:
            await node.stop()
        assert [fault for node in self.all for fault in node.faults] == []
        assert [task for task in asyncio.all_tasks() if "nats" in str(task.get_coro()).lower()] == []
