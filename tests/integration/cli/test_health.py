"""`wsplatform health`, as the supervisor of a container calls it; and process 1 of one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli.test_commands import Run, run  # noqa: F401 - a fixture
from tests.support.cli import clean_environment, program
from tests.support.processes import free_port

READY = b'{"ready":true,"draining":false,"reasons":[]}'
STARTING = b'{"ready":false,"draining":false,"reasons":["rules are missing","links are made"]}'


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def answer(listener: socket.socket, status: int, body: bytes) -> subprocess.Popen[bytes]:
    """In a process of its own: the command has this one's thread."""
    reply = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
    accept = f"c, _ = __import__('socket').socket(fileno={listener.fileno()}).accept()"
    code = f"{accept}; c.recv(4096); c.sendall({reply!r})"
    return subprocess.Popen([sys.executable, "-c", code], pass_fds=[listener.fileno()])


@pytest.mark.parametrize(
    ("options", "reply", "exit_status", "said"),
    [
        ([], (200, READY), 0, "ready"),
        (["--live"], (200, b'{"live":true}'), 0, "live"),
        ([], (503, STARTING), 1, "not ready (status 503): rules are missing; links are made"),
        ([], (404, b"<html>"), 1, "not ready (status 404)"),
        (["--set", "node.host=0.0.0.0"], (200, READY), 0, "ready"),
    ],
)
async def test_it_says_what_the_process_says(
    run: Run,  # noqa: F811
    listener: socket.socket,
    options: list[str],
    reply: tuple[int, bytes],
    exit_status: int,
    said: str,
) -> None:
    with answer(listener, *reply):
        port = listener.getsockname()[1]
        output = await run("health", "--set", f"node.port={port}", *options, status=exit_status)
        assert output.strip() == said


async def test_nothing_answers(run: Run) -> None:  # noqa: F811
    port = free_port()
    output = await run("health", "--set", f"node.port={port}", status=1)
    assert f"http://127.0.0.1:{port}/health/ready" in output
    assert "[unreachable]" in output


async def test_what_accepts_and_says_nothing_is_not_waited_for(run: Run, listener: socket.socket) -> None:  # noqa: F811
    output = await run("health", "--seconds", "0.2", "--set", f"node.port={listener.getsockname()[1]}", status=1)
    assert "[unreachable]" in output


@pytest.mark.skipif(os.geteuid() != 0, reason="process ids of one's own are made by root")
def test_process_1_ends_at_sigterm_while_it_starts() -> None:
    """The kernel does not pass on to it what it has no handler for: it would be killed at the end of a grace time."""
    reading, writing = os.pipe()  # it waits for its settings all the while
    env = clean_environment({"WSP_CLUSTER__SECRETS_FILE": f"/proc/self/fd/{reading}"})
    command = ["unshare", "--pid", "--kill-child", "--fork", *program("serve")]
    outer = subprocess.Popen(command, env=env, pass_fds=[reading])
    try:
        deadline = time.monotonic() + 20
        while (child := _child(outer.pid)) is None or not _handles(child, signal.SIGTERM):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(child, signal.SIGTERM)
        assert outer.wait(5) == 128 + signal.SIGTERM
    finally:
        outer.kill()
        outer.wait()
        os.close(reading)
        os.close(writing)


def _child(pid: int) -> int | None:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else None


def _handles(pid: int, number: int) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(line for line in lines if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
