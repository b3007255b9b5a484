"""`wsplatform top` in a terminal, as a person sees it."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import signal
import struct
import termios
import time
from collections.abc import AsyncIterator
from typing import Any, Self

import pytest_asyncio

from tests.support.cli import clean_environment, program
from tests.support.fake_registry import FakeRegistry
from tests.support.wait import eventually

_ENTER, _LEAVE = "\x1b[?1049h", "\x1b[?1049l"


def _status(uptime: int) -> dict[str, Any]:
    return {"uptime": uptime, "sessions": 7, "publications": uptime * 10, "cpu_seconds": uptime * 0.5, "lag": 0.001}


def _answers(uptime: int) -> dict[str, Any]:
    common = {"incarnation": "a", "ready": True, "draining": False}
    nodes = [{"id": name, **common, "status": _status(uptime)} for name in ("alpha", "beta")]
    busy = [{"channel": "hot:1", "publications": 99.5, "subscribers": 3, "nodes": {}}]
    return {
        "nodes": {"view": 1, "items": nodes, "next": None},
        "links": {"items": [], "next": None},
        "metrics/busiest": {"items": busy, "as_of": 0},
    }


@pytest_asyncio.fixture
async def registry() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as fake:
        fake.answers = _answers(10)
        yield fake


class Terminal:
    """`wsplatform top` in a terminal of its own."""

    def __init__(self, registry: FakeRegistry, *arguments: str, columns: int = 80, rows: int = 24) -> None:
        options = ("top", "--server", registry.url, "--key", "k", "--interval", "0.5", *arguments)
        self._command = program(*options)
        self._master, self._slave = pty.openpty()
        self.resize(columns, rows)
        self.modes = termios.tcgetattr(self._slave)
        self._said = bytearray()
        self.process: asyncio.subprocess.Process

    async def __aenter__(self) -> Self:
        os.set_blocking(self._master, False)
        asyncio.get_running_loop().add_reader(self._master, self._read)
        self.process = await asyncio.create_subprocess_exec(
            *self._command,
            env={**clean_environment(), "TERM": "xterm"},
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            start_new_session=True,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        os.close(self._master)
        os.close(self._slave)

    @property
    def said(self) -> str:
        return self._said.decode(errors="replace")

    @property
    def picture(self) -> str:
        """The last one that was drawn, without colours."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.said.rpartition("\x1b[H")[2])

    async def shows(self, *words: str) -> None:
        await eventually(lambda: all(word in self.picture for word in words), within=15, why=self.said[-2000:])

    async def ended(self) -> int:
        status = await asyncio.wait_for(self.process.wait(), 15)
        await eventually(lambda: _LEAVE in self.said or _ENTER not in self.said, within=5)
        return status

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def given_back(self) -> bool:
        after = termios.tcgetattr(self._slave)
        borrowed = self.said.rfind(_ENTER) > self.said.rfind(_LEAVE)
        return not borrowed and self.said.rfind("\x1b[?25h") > self.said.rfind("\x1b[?25l") and after == self.modes

    def _read(self) -> None:
        try:
            self._said += os.read(self._master, 65536)
        except OSError:
            asyncio.get_running_loop().remove_reader(self._master)


async def test_figures_move_and_q_ends_it(registry: FakeRegistry) -> None:
    async with Terminal(registry) as terminal:
        await terminal.shows("alpha", "hot:1", "q quit")
        registry.answers = _answers(20)
        await terminal.shows("20 publications/s", "50%")
        terminal.press("p")
        await terminal.shows("[p pub/s]")
        terminal.press("q")
        assert await terminal.ended() == 0
        assert terminal.given_back()


async def test_the_registry_may_go_away_and_come_back(registry: FakeRegistry) -> None:
    async with Terminal(registry) as terminal:
        await terminal.shows("alpha")
        answers, registry.answers = registry.answers, dict.fromkeys(registry.answers, 503)
        await terminal.shows("STALE since", "As prepared.", "alpha")
        registry.answers = answers
        await eventually(lambda: "STALE" not in terminal.picture and "alpha" in terminal.picture, within=10)
        terminal.press("q")
        assert await terminal.ended() == 0


async def test_what_does_not_pass_ends_it_with_an_error(registry: FakeRegistry) -> None:
    async with Terminal(registry) as terminal:
        await terminal.shows("alpha")
        registry.answers = dict.fromkeys(registry.answers, 401)
        assert await terminal.ended() == 1
        assert terminal.given_back()
        assert "error: As prepared. [unauthorized]" in terminal.said.rpartition(_LEAVE)[2]


async def test_the_terminal_is_given_back_whatever_ends_it(registry: FakeRegistry) -> None:
    for number, status in ((signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)):
        async with Terminal(registry) as terminal:
            await terminal.shows("alpha")
            terminal.process.send_signal(number)
            assert await terminal.ended() == status
            assert terminal.given_back()


async def test_it_stops_and_goes_on_like_any_program(registry: FakeRegistry) -> None:
    async with Terminal(registry) as terminal:
        await terminal.shows("alpha")
        terminal.process.send_signal(signal.SIGTSTP)
        await eventually(terminal.given_back, within=10)
        terminal.process.send_signal(signal.SIGCONT)
        await eventually(lambda: terminal.said.count(_ENTER) == 2, within=10)
        await terminal.shows("alpha")
        terminal.press("q")
        assert await terminal.ended() == 0


async def test_another_size_is_another_picture(registry: FakeRegistry) -> None:
    async with Terminal(registry, columns=40, rows=6) as terminal:
        await terminal.shows("alpha")
        assert terminal.picture.count("\n") < 6
        terminal.resize(100, 30)
        terminal.process.send_signal(signal.SIGWINCH)
        await terminal.shows("hot:1", "MEMORY")
        terminal.press("q")
        assert await terminal.ended() == 0


async def test_where_there_is_no_terminal_it_is_one_look(registry: FakeRegistry) -> None:
    began = time.monotonic()
    arguments = ("top", "--server", registry.url, "--key", "k", "--interval", "0.5")
    process = await asyncio.create_subprocess_exec(*program(*arguments), env=clean_environment(), stdout=-1, stderr=-1)
    out, errors = await asyncio.wait_for(process.communicate(), 15)
    assert (process.returncode, errors) == (0, b"")
    assert "hot:1" in out.decode()
    assert "\x1b" not in out.decode()
    assert time.monotonic() - began > 0.5


async def test_programs_get_an_object_a_line(registry: FakeRegistry) -> None:
    arguments = ("top", "--json", "--server", registry.url, "--key", "k", "--interval", "0.5")
    process = await asyncio.create_subprocess_exec(*program(*arguments), env=clean_environment(), stdout=-1, stderr=-1)
    assert process.stdout is not None

    async def line() -> Any:
        assert process.stdout is not None
        return json.loads(await asyncio.wait_for(process.stdout.readline(), 15))

    first = await line()
    assert [node["id"] for node in first["nodes"]] == ["alpha", "beta"]
    registry.answers = dict.fromkeys(registry.answers, 503)
    while "error" not in (away := await line()):
        pass
    assert (away["error"]["code"], away["last"]["nodes"][0]["id"]) == ("registry_unavailable", "alpha")
    process.send_signal(signal.SIGINT)
    await process.communicate()
    assert process.returncode == 130
