"""`wsplatform serve --workers N` as a user starts it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shutil
import signal
import socket
import tempfile
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests.support.cli import clean_environment, program
from tests.support.marked import MARK, marked_processes
from tests.support.wait import eventually

ADMIN_KEY = "an-admin-key-of-the-tests-0123456789"


class Workers:
    """`async with Workers("--workers", "2") as host`: all listen and are ready; `host.key` is an API key.

    settings: for all of its processes. temporary: the folder for its temporary files, short, for sockets are in it.
    """

    def __init__(self, *arguments: str, settings: Mapping[str, str] | None = None) -> None:
        self.temporary = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))
        self.info: dict[str, Any] = {}
        self.key = ""
        self.mark = secrets.token_hex(16)
        self._arguments = ["serve", "--env", "test", "--json", "--port", "0", *arguments]
        self._env = {
            "WSP_NODE__ID": "host",
            "WSP_REGISTRY__ADMIN_KEY": ADMIN_KEY,
            "WSP_REGISTRY__DATABASE": f"sqlite:///{self.temporary}/registry.db",
            **(settings or {}),
            "TMPDIR": str(self.temporary),
            MARK: self.mark,
        }
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._errors: list[bytes] = []
        self._http: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Begin; does not wait."""
        self._process = await asyncio.create_subprocess_exec(
            *program(*self._arguments),
            env=clean_environment(self._env),
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
        )
        self._reader = asyncio.get_running_loop().create_task(self._read_errors())

    async def listening(self) -> None:
        """Until all listen; the line that says so is `info`."""
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), 40)
        assert line, self.errors
        self.info = json.loads(line)

    async def ready(self) -> None:
        """Until each worker says so to the registry, and knows a new API key."""
        self.key = (await self.admin("POST", "keys", {"name": "test", "scopes": ["api"]}))["key"]
        await eventually(self.whole, within=20)

    async def whole(self) -> bool:
        """All workers are ready, connected with each other, and know the API key."""
        nodes = (await self.admin("GET", "nodes"))["items"]
        if len([node for node in nodes if node["ready"]]) != len(self.info["workers"]):
            return False
        with contextlib.suppress(KeyError):
            answers = [(await self.api("info"))["result"]["nodes"] for _ in range(20)]  # of each worker, most likely
            return all(len(answer) == len(nodes) for answer in answers)
        return False

    @property
    def url(self) -> str:
        return str(self.info["url"])

    @property
    def pids(self) -> list[int]:
        """Of the workers, in the order of their numbers, as they are now."""
        found = {
            int(command.rpartition("-")[2]): pid
            for pid, command in marked_processes(self.mark).items()
            if "supervisor.worker host-" in command and not command.endswith("-registry")
        }
        return [found[number] for number in sorted(found)]

    @property
    def registry_pid(self) -> int:
        (pid,) = (pid for pid, command in marked_processes(self.mark).items() if command.endswith("-registry"))
        return pid

    @property
    def process(self) -> Process:
        assert self._process is not None
        return self._process

    @property
    def http(self) -> aiohttp.ClientSession:
        """Each request on a connection of its own, so that each reaches a worker by chance."""
        if self._http is None:
            connector = aiohttp.TCPConnector(limit=0, force_close=True)
            self._http = aiohttp.ClientSession(connector=connector)
        return self._http

    @property
    def errors(self) -> str:
        """Standard error so far."""
        return b"".join(self._errors).decode()

    async def admin(self, method: str, path: str, body: Any = None) -> Any:
        url = f"{self.info['registry_url']}/admin/v1/{path}"
        async with self.http.request(method, url, json=body, headers={"X-API-Key": ADMIN_KEY}) as response:
            assert response.status < 300, await response.text()
            return await response.json()

    async def api(self, method: str, **params: Any) -> dict[str, Any]:
        """The whole body of the answer of a worker."""
        headers = {"X-API-Key": self.key}
        async with self.http.post(f"{self.url}/api/{method}", json=params, headers=headers) as response:
            body: dict[str, Any] = await response.json()
            return body

    async def sessions(self) -> Counter[str]:
        """Number of clients by node id."""
        nodes = (await self.api("info"))["result"]["nodes"]
        return Counter({node["name"]: node["num_clients"] for node in nodes})

    async def end(self, number: signal.Signals = signal.SIGTERM, within: float = 20.0) -> int:
        """Send the signal to the one process that the user started; its exit status."""
        self.process.send_signal(number)
        return await self.ended(within)

    async def ended(self, within: float = 20.0) -> int:
        status = await asyncio.wait_for(self.process.wait(), within)
        assert self._reader is not None
        await self._reader
        return status

    async def gone(self, within: float = 5.0) -> None:
        """No process is left."""
        await eventually(lambda: not marked_processes(self.mark), within=within, why=str(marked_processes(self.mark)))

    def sockets(self) -> list[tuple[str, bool]]:
        """The unix sockets in the folder of this host, by file name, and whether each is a connection."""
        found = []
        for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
            fields = line.split()
            if len(fields) == 8 and fields[7].startswith(str(self.temporary)):
                found.append((Path(fields[7]).name, fields[5] == "03"))
        return found

    async def __aenter__(self) -> Self:
        await self.start()
        try:
            await self.listening()
            if self.info["role"] == "all":
                await self.ready()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            await self.end(signal.SIGKILL)
        if self._http is not None:
            await self._http.close()
        await self.gone()
        shutil.rmtree(self.temporary, ignore_errors=True)

    async def _read_errors(self) -> None:
        assert self.process.stderr is not None
        while chunk := await self.process.stderr.read(65536):
            self._errors.append(chunk)


def established(port: int) -> int:
    """How many TCP connections are open at a port of this host that somebody listens on."""
    count = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        count += fields[3] == "01" and int(fields[1].rpartition(":")[2], 16) == port
    return count


def free(port: int) -> bool:
    """Whether nobody listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def free_pair() -> int:
    """The first of two ports next to each other, of those that nobody gets by chance."""
    return next(port for port in range(20_000, 30_000, 2) if free(port) and free(port + 1))
