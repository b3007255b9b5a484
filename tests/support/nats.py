"""A NATS server of the tests' own, from the program that the system has."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from tests.support.processes import free_port

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
