"""The program `haproxy` and its master socket, asked from asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from pathlib import Path

from wsplatform.core.haproxy_runtime import Running, Worker, certificate, done, expiry, payload, running, worker
from wsplatform.core.haproxy_sections import BACKEND
from wsplatform.core.haproxy_state import Processes, processes
from wsplatform.errors import PlatformError, StartError

_CHECK_SECONDS = 30.0
_ASK_SECONDS = 5.0
_RELOAD_SECONDS = 15.0
_POLL_SECONDS = 0.05
_MOST_OUTPUT = 1_048_576
_VALID = "Configuration file is valid"


def find(binary: str) -> str:
    """The path of the program. Raises StartError, code haproxy_missing."""
    # Debian keeps it in /usr/sbin, which is not on the PATH of ordinary accounts.
    folders = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"])
    found = shutil.which(binary, path=folders)
    if found is None:
        message = f"HAProxy ({binary}) is not installed: apt-get install haproxy, or set haproxy.binary to its path."
        raise StartError("haproxy_missing", message)
    return found


async def check(binary: str, config: Path) -> None:
    """Have HAProxy read a configuration file without using it.

    Raises StartError (haproxy_missing, where there is none or something else) and PlatformError
    (haproxy_config_refused, with HAProxy's first complaint).
    """
    program = await asyncio.to_thread(find, binary)
    try:
        process = await asyncio.create_subprocess_exec(
            program, "-c", "-V", "-f", str(config), stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
        )
    except OSError as error:
        message = f"HAProxy ({program}) cannot be started ({error.strerror}): is haproxy.binary right?"
        raise StartError("haproxy_missing", message) from error
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            output = await _output(process)
    except TimeoutError as error:
        message = f"HAProxy did not finish its check of the configuration within {_CHECK_SECONDS:.0f} s."
        raise PlatformError("haproxy_config_refused", message, temporary=True) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    # At a reload the master becomes what is in this place: that must be HAProxy, and not something that ends well.
    if output is None or (not process.returncode and _VALID not in output):
        message = f"What is at {program} does not answer as HAProxy does: is haproxy.binary right?"
        raise StartError("haproxy_missing", message)
    if process.returncode:
        raise PlatformError("haproxy_config_refused", f"HAProxy refuses the configuration: {first_alert(output)}")


async def _output(process: Process) -> str | None:
    """What it writes until its end; None: more than HAProxy has to say."""
    assert process.stdout is not None
    output, endless = bytearray(), False
    while chunk := await process.stdout.read(_MOST_OUTPUT):  # to the end also then: it closes the pipe
        output += chunk
        if len(output) > _MOST_OUTPUT:
            output.clear()
            endless = True
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    await process.wait()
    return None if endless else output.decode(errors="replace")


def first_alert(output: str) -> str:
    """The first thing that HAProxy complained of in its output, for people."""
    for line in output.splitlines():
        if line.startswith("[ALERT]"):
            return _readable(line.partition(" : ")[2].removeprefix("config : "))[:500]
    return _readable(output)[-500:] or "it said nothing"


def _readable(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


class Master:
    """The master process behind its socket (`haproxy -W -S path`)."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def ask(self, command: str) -> str:
        """The whole reply to one command, in which every name has been checked: `;` and line ends split it.

        Raises PlatformError, code haproxy_unreachable.
        """
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                return await self._exchange(command)
        except (OSError, TimeoutError) as error:
            why = getattr(error, "strerror", None) or "no answer"
            message = f"HAProxy is not reached at {self._path} ({why}): is it running with -W -S {self._path}?"
            raise PlatformError("haproxy_unreachable", message, temporary=True) from error

    async def processes(self) -> Processes:
        """Raises PlatformError, code haproxy_unreachable."""
        found = processes(await self.ask("show proc"))
        if found is None:
            message = f"What answers at {self._path} is not HAProxy's master process: is haproxy.master_socket right?"
            raise PlatformError("haproxy_unreachable", message)
        return found

    async def worker(self) -> Worker:
        """Raises PlatformError, code haproxy_unreachable."""
        found = worker(await self.ask("@1 show info"))
        if found is None:
            await self.processes()  # says so where this is no HAProxy at all
            message = f"HAProxy at {self._path} has no process that serves: its log says why."
            raise PlatformError("haproxy_unreachable", message, temporary=True)
        return found

    async def server_states(self) -> str:
        """What the newest worker knows of its servers. Raises PlatformError, code haproxy_unreachable."""
        return await self.ask(f"@1 show servers state {BACKEND}")

    async def servers(self) -> dict[str, Running]:
        """The same, understood."""
        return running(await self.server_states())

    async def obey(self, command: str) -> None:
        """Have the newest worker do this. Raises PlatformError: haproxy_refused, haproxy_unreachable."""
        reply = await self.ask(f"@1 {command}")
        if not done(command, reply):
            said = " ".join(reply.split())[:300] or "nothing"
            what = command.partition("\n")[0]
            raise PlatformError("haproxy_refused", f"HAProxy does not do {what!r}, and says: {said}", temporary=True)

    async def certificate(self, file: str) -> tuple[str, float | None]:
        """SHA-1 fingerprint and end of validity (Unix time) of the certificate that is in use; raises as `worker`."""
        reply = await self.ask(f"@1 show ssl cert {file}")
        return certificate(reply), expiry(reply)

    async def replace_certificate(self, file: str, pem: str) -> None:
        """Use `pem` for new connections from now on, as what `file` holds. Raises as `obey`; then the old one stays."""
        await self.obey(f"set ssl cert {file} <<\n{payload(pem)}\n")
        try:
            await self.obey(f"commit ssl cert {file}")
        except PlatformError:
            await self.ask(f"@1 abort ssl cert {file}")
            raise

    async def reload(self) -> None:
        """Have the configuration read again and wait until a new worker serves.

        Raises PlatformError: haproxy_unreachable, haproxy_reload_failed (the old worker serves on).
        """
        before = await self.processes()
        known = {worker.pid for worker in before.workers}
        # The reply is the same whether it works or not (2.6), so the processes have to tell.
        await self.ask("reload")
        deadline = time.monotonic() + _RELOAD_SECONDS
        while time.monotonic() < deadline:
            now = await self._processes_or_none()
            if now is not None and any(worker.reloads == 0 and worker.pid not in known for worker in now.workers):
                return
            if now is not None and now.failed > before.failed:
                break
            await asyncio.sleep(_POLL_SECONDS)
        message = "HAProxy could not load the new configuration and goes on with the old one: its log says why."
        raise PlatformError("haproxy_reload_failed", message, temporary=True)

    async def _processes_or_none(self) -> Processes | None:
        """The master executes itself anew while it reloads, and may not answer for a moment."""
        try:
            return await self.processes()
        except PlatformError:
            return None

    async def _exchange(self, command: str) -> str:
        reader, writer = await asyncio.open_unix_connection(self._path)
        try:
            writer.write(f"{command}\n".encode())
            # Without this the master waits for more commands, and the reply never ends.
            writer.write_eof()
            return (await reader.read()).decode(errors="replace")
        finally:
            writer.close()
