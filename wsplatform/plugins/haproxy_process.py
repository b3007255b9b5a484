"""A HAProxy of one's own, for a cluster on one machine: started, watched and stopped with the process that wants it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import tempfile
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path

import msgspec

from wsplatform.core.haproxy_config import check_table, render, state_file
from wsplatform.die_with_parent import command
from wsplatform.errors import PlatformError, StartError
from wsplatform.folders import no_folder
from wsplatform.plugins import haproxy_files as files
from wsplatform.plugins.haproxy_control import Master, check, find, first_alert
from wsplatform.settings import HAProxyTable

START_SECONDS = 10.0
STOP_SECONDS = 5.0
_POLL_SECONDS = 0.02


class HAProxyProcess:
    """A master with its workers. Its files and sockets are in a private folder under the system's temporary one:

    whoever reaches the sockets controls HAProxy, and a path of the user's may be too long or too odd for it.
    """

    def __init__(self, table: HAProxyTable, bind: str, temporary: Path | None = None) -> None:
        """`bind`: host:port for clients without TLS; the rest of `table` but its paths is kept.

        temporary: where the private folder is made instead; short, for HAProxy takes paths of 90 characters.
        """
        self._temporary = temporary
        self._wanted = msgspec.structs.replace(table, bind=bind)
        self._table: HAProxyTable | None = None
        self._folder: Path | None = None
        self._process: Process | None = None

    @property
    def table(self) -> HAProxyTable:
        """The settings under which the plugin drives this HAProxy. There are none before `start`."""
        if self._table is None:
            raise RuntimeError("HAProxy has not been started")
        return self._table

    def environment(self) -> dict[str, str]:
        """The same as WSP_HAPROXY__… variables, for the process of the registry."""
        values = msgspec.to_builtins(self.table)
        return {f"WSP_HAPROXY__{name.upper()}": _text(value) for name, value in values.items()}

    @property
    def pid(self) -> int:
        """Of the master process. Raises RuntimeError before `start`."""
        return self._started().pid

    async def start(self) -> None:
        """Begin without nodes; returns when connections are accepted and the plugin can reach the master.

        Raises StartError (haproxy_missing, port_in_use, haproxy_not_started, no_temporary_folder), SettingsError, and
        PlatformError as `haproxy_control.check`.
        """
        program = await asyncio.to_thread(find, self._wanted.binary)
        try:
            self._folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="wsp-haproxy-", dir=self._temporary))
        except OSError as error:
            raise no_folder(error) from error
        self._table = _in_folder(self._wanted, self._folder)
        try:
            check_table(self._table)
            for listener in _listeners(self._table):
                _check_free(listener)
            await self._write_files()
            await self._spawn(program)
            await self._until_ready()
        except BaseException:
            await self.stop()
            raise

    async def ended(self) -> int:
        """Wait for its end, whoever brings it about; the exit status. Raises RuntimeError before `start`."""
        return await self._started().wait()

    async def stop(self) -> None:
        """End all of its processes, with the websockets they carry. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            await _end(process)
        folder, self._folder = self._folder, None
        if folder is not None:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def _started(self) -> Process:
        if self._process is None:
            raise RuntimeError("HAProxy has not been started")
        return self._process

    async def _write_files(self) -> None:
        config = Path(self.table.config_file)
        own = await asyncio.to_thread(files.snippets, self.table.snippets)
        for path, text in ((config, render(self.table, (), own)), (Path(state_file(self.table)), "1\n")):
            await asyncio.to_thread(files.put_in_place, await asyncio.to_thread(files.write_beside, path, text), path)
        await check(self.table.binary, config)

    async def _spawn(self, program: str) -> None:
        master = f"{self.table.master_socket},mode,600"
        arguments = [program, "-W", "-S", master, "-f", self.table.config_file]
        try:
            log = self._log().open("wb")
        except OSError as error:
            raise no_folder(error) from error
        with log:
            self._process = await asyncio.create_subprocess_exec(
                # Workers end by themselves when their master does, so the master alone has to hear of it.
                *command(signal.SIGTERM, arguments),
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # the terminal's Ctrl-C is for the parent, which stops things in order
            )

    async def _until_ready(self) -> None:
        process = self._started()
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await self._is_ready():
                    if process.returncode is not None:
                        raise await self._not_started()
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError as error:
            raise await self._not_started() from error

    async def _is_ready(self) -> bool:
        if not all([await _accepts(listener) for listener in _listeners(self.table)]):
            return False
        try:  # the master begins to listen a moment after its worker
            return bool((await Master(self.table.master_socket).processes()).workers)
        except PlatformError:
            return False

    async def _not_started(self) -> StartError:
        output = await asyncio.to_thread(self._log().read_text, errors="replace")
        return StartError("haproxy_not_started", f"HAProxy did not start: {first_alert(output)}")

    def _log(self) -> Path:
        return Path(self.table.config_file).with_name("haproxy.log")


def _in_folder(table: HAProxyTable, folder: Path) -> HAProxyTable:
    return msgspec.structs.replace(
        table,
        enabled=True,
        log_requests=False,  # its log lives and dies with the folder
        status_bind="",  # a port that another cluster on this machine has, too
        config_file=str(folder / "haproxy.cfg"),
        master_socket=str(folder / "master.sock"),
        stats_socket=str(folder / "admin.sock"),
    )


def _listeners(table: HAProxyTable) -> list[tuple[str, int]]:
    """Host and port of each; a host that stands for all addresses is tried at the loopback."""
    texts = [table.bind] if table.bind else []
    if table.certificate and table.tls_bind:
        texts.append(table.tls_bind)
    listeners = []
    for text in texts:
        host, _, port = text.rpartition(":")
        listeners.append(("127.0.0.1" if host in {"", "*"} else host.strip("[]"), int(port)))
    return listeners


def _check_free(listener: tuple[str, int]) -> None:
    """HAProxy would share the port with another HAProxy (SO_REUSEPORT) without a word. Raises StartError."""
    try:
        with socket.create_server(listener, family=_family(listener[0])):
            pass
    except OSError as error:
        host, port = listener
        why = os.strerror(error.errno) if error.errno else str(error)  # its strerror has more than that in it
        message = f"HAProxy cannot listen on {host}:{port} ({why}): choose another port."
        raise StartError("port_in_use", message) from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


async def _accepts(listener: tuple[str, int]) -> bool:
    try:
        _, writer = await asyncio.open_connection(*listener)
    except OSError:
        return False
    writer.close()
    return True


async def _end(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
