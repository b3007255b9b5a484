"""Brings HAProxy to where the settings and the cluster's members want it, and tells what it found on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from wsplatform.core.haproxy_config import MARK, Plan, plan, state_file, untouched
from wsplatform.core.haproxy_runtime import Running, Step, Worker, drift, names, steps
from wsplatform.core.haproxy_servers import Server
from wsplatform.core.haproxy_state import server_state
from wsplatform.errors import PlatformError
from wsplatform.model import Member
from wsplatform.plugins import haproxy_files as files
from wsplatform.plugins.haproxy_control import Master, check
from wsplatform.settings import HAProxyTable

_ROUNDS = 3
"""Steps that follow from others (a server is deleted after it has been emptied) take another look."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """HAProxy is as it should be. idle: it was left alone, for there is no node.

    changed: what was done, in words. certificate_until: Unix time, None without a certificate, or where HAProxy does
    not say.
    """

    servers: tuple[Server, ...]
    refused: tuple[PlatformError, ...]
    idle: bool = False
    reloaded: bool = False
    rotated: bool = False
    changed: tuple[str, ...] = ()
    certificate_until: float | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """The servers after the commands of a round. leaving: they go with their last connection. present: by name."""

    wanted: tuple[Server, ...]
    leaving: tuple[str, ...]
    present: Mapping[str, Running]


@dataclass(slots=True)
class Round:
    """What an `apply` has come to, also when it fails afterwards.

    drift: what had become different by itself and was put right, in words. seen: None where HAProxy had no commands.
    """

    drift: tuple[str, ...] = ()
    seen: Seen | None = None


@dataclass(frozen=True, slots=True)
class _Performed:
    """changed: in words; leaving: servers that cannot go yet; present: what HAProxy has afterwards."""

    changed: tuple[str, ...]
    leaving: tuple[str, ...]
    present: dict[str, Running]


@dataclass(frozen=True, slots=True)
class Sight:
    """The running HAProxy, beside what it should be. file: the text of its configuration, None if there is none."""

    wanted: Plan
    worker: Worker
    present: dict[str, Running]
    file: str | None

    def differences(self) -> tuple[str, ...]:
        """In words for people; empty if all is as it should be."""
        found = []
        if self.file is None or not self.file.startswith(MARK):
            found.append("the configuration file is not of wsplatform")
        elif not untouched(self.file):
            found.append("the configuration file was edited by hand")
        elif self.file != self.wanted.text:
            found.append("the configuration file is out of date")
        if self.worker.structure != self.wanted.structure:
            found.append("HAProxy runs with another configuration")
        return (*found, *(step.difference for step in steps(self.wanted.servers, self.present) if not step.refusable))


class Keeper:
    """One caller at a time. What it remembers serves to tell drift from change, nothing else. round: of `apply`."""

    def __init__(self, table: HAProxyTable) -> None:
        self.round = Round()
        self._table = table
        self._config = Path(table.config_file)
        self._state = Path(state_file(table))
        self._master = Master(table.master_socket)
        self._must_reload = False
        self._written: str | None = None
        self._applied: tuple[Server, ...] = ()
        self._leaving: tuple[str, ...] = ()
        self._pem = ""  # SHA-256 of the last file that was good: key and chain may change without the certificate
        self._pid = 0

    async def look(self, members: Iterable[Member]) -> Sight:
        """Without changing anything. Raises PlatformError."""
        own = await asyncio.to_thread(files.snippets, self._table.snippets)
        worker, present = await self._see()
        wanted = plan(self._table, members, names=names(present.values()), snippets=own)
        return Sight(wanted, worker, present, await asyncio.to_thread(files.read, self._config))

    async def apply(self, members: Iterable[Member]) -> Outcome:
        """Make HAProxy agree with the members. Raises PlatformError; what runs is then as it was, or nearer to it.

        What commands can do comes before the file, so that nodes come and go while that cannot be written, or while a
        certificate is broken. No member at all changes nothing: that comes from a registry that has just begun, while
        HAProxy's own checks know better which nodes serve.
        """
        self.round = Round()
        own = await asyncio.to_thread(files.snippets, self._table.snippets)
        away: PlatformError | None = None
        worker, present = Worker(0, ""), dict[str, Running]()
        try:
            worker, present = await self._see()
        except PlatformError as error:  # its file is brought up to date all the same, for when it comes back
            away = error
        wanted = plan(self._table, members, names=names(present.values()), snippets=own)
        text = await asyncio.to_thread(files.read, self._config)
        if not wanted.servers and text is not None and text.startswith(MARK):
            return Outcome((), wanted.refused, idle=True)
        done, refusal = await self._try(wanted, worker, present)
        if text != wanted.text:
            self._must_reload |= text is not None and not untouched(text)
            await self._replace(wanted.text)
            if self._written is not None and text != self._written:
                self.round.drift += ("the configuration file was changed by hand",)
        self._written = wanted.text
        if away is not None:
            raise away
        missing = any(server.named and server.name not in present for server in wanted.servers)
        reloading = self._must_reload or missing or worker.structure != wanted.structure
        if reloading:
            again = await self._reload(wanted)
            done = _Performed(done.changed + again.changed, again.leaving, again.present)
        elif refusal is not None:
            raise refusal
        rotated, until = await self._certificate()
        return Outcome(
            wanted.servers,
            wanted.refused,
            reloaded=reloading,
            rotated=rotated,
            changed=done.changed,
            certificate_until=until,
        )

    async def _see(self) -> tuple[Worker, dict[str, Running]]:
        return await self._master.worker(), await self._master.servers()

    async def _replace(self, text: str) -> None:
        beside = await asyncio.to_thread(files.write_beside, self._config, text)
        try:
            await check(self._table.binary, beside)
            await asyncio.to_thread(files.keep_foreign, self._config)
            await asyncio.to_thread(files.put_in_place, beside, self._config)
        finally:
            await asyncio.to_thread(files.discard, beside)

    async def _try(
        self, wanted: Plan, worker: Worker, present: dict[str, Running]
    ) -> tuple[_Performed, PlatformError | None]:
        """What commands can do before the file is written; what does not work a reload may mend, if there is one."""
        nothing = _Performed((), (), present)
        if not worker.structure:  # not reached, or begun by somebody else
            return nothing, None
        try:
            return await self._follow(wanted, worker, present), None
        except PlatformError as error:
            return nothing, error

    async def _follow(self, wanted: Plan, worker: Worker, present: dict[str, Running]) -> _Performed:
        """Have the running HAProxy agree, as far as commands go."""
        same = worker.pid == self._pid  # another one has begun with what the file said
        found = drift(self._applied, self._leaving, present) if same else ()
        done = await self._perform(wanted.servers, present)
        self.round.drift += tuple(dict.fromkeys(found))
        self.round.seen = Seen(wanted.servers, done.leaving, done.present)
        self._applied, self._leaving, self._pid = wanted.servers, done.leaving, worker.pid
        return done

    async def _reload(self, wanted: Plan) -> _Performed:
        """Have the file read again; then as `_follow`."""
        self._must_reload = True
        await check(self._table.binary, self._config)
        state = server_state(await self._master.server_states(), wanted.servers)
        beside = await asyncio.to_thread(files.write_beside, self._state, state)
        await asyncio.to_thread(files.put_in_place, beside, self._state)
        await self._master.reload()
        self._must_reload = False
        worker, present = await self._see()
        return await self._follow(wanted, worker, present)

    async def _perform(self, wanted: tuple[Server, ...], present: dict[str, Running]) -> _Performed:
        changed: list[str] = []
        leaving: dict[str, None] = {}
        for _ in range(_ROUNDS):
            todo = [step for step in steps(wanted, present) if step.server not in leaving]
            if not todo:
                break
            for step in todo:
                if await self._take(step):
                    changed += step.commands
                else:
                    leaving[step.server] = None
            present = await self._master.servers()
        return _Performed(tuple(changed), tuple(leaving), present)

    async def _take(self, step: Step) -> bool:
        """Whether HAProxy has obeyed."""
        for command in step.commands:
            try:
                await self._master.obey(command)
            except PlatformError as error:
                if step.refusable and error.code == "haproxy_refused":
                    return False
                raise
        return True

    async def _certificate(self) -> tuple[bool, float | None]:
        """Whether the certificate was exchanged, and until when the one in use is valid, in Unix time."""
        file = Path(self._table.certificate)
        if not (self._table.certificate and self._table.tls_bind) or await asyncio.to_thread(file.is_dir):
            return False, None
        in_use, until = await self._master.certificate(str(file))
        pem, found = await asyncio.to_thread(files.fingerprint, file)
        digest = sha256(pem.encode()).hexdigest()
        if found == in_use and digest == self._pem:
            return False, until
        await check(self._table.binary, self._config)  # tells what is wrong with it, or that its key does not match
        exchanged = found != in_use or self._pem != ""
        if exchanged:
            await self._master.replace_certificate(str(file), pem)
            _, until = await self._master.certificate(str(file))
        self._pem = digest
        return exchanged, until
