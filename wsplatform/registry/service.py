"""The registry: knows the nodes of the cluster, and tells them of each other, of channel rules and of keys.

core/roster.py decides who is in a view, registry/ledger.py commits it before anybody hears of it. Heartbeats need no
database: while it cannot be used, nodes stay registered and nothing changes.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import msgspec
from loguru import logger

from wsplatform.core.clocks import Clock
from wsplatform.core.metrics import Sample
from wsplatform.core.retention import EvenClock
from wsplatform.core.roster import Roster, Silence, check_member, superseded
from wsplatform.errors import RegistryUnavailable, RequestError, StartError
from wsplatform.model import (
    Heartbeat,
    HeartbeatReply,
    Instance,
    Known,
    LinkStatus,
    Member,
    NodeStatus,
    Registration,
    View,
)
from wsplatform.net.tasks import Tasks
from wsplatform.registry import migrate
from wsplatform.registry.audit import Audit
from wsplatform.registry.configuration import Configuration
from wsplatform.registry.database import locate
from wsplatform.registry.ledger import Ledger, Step
from wsplatform.registry.logins import TIDY_SECONDS, Logins
from wsplatform.registry.metrics import Metrics
from wsplatform.registry.notes import Notes
from wsplatform.registry.records import NodeRecord
from wsplatform.registry.store import Store, settled
from wsplatform.settings import MetricsTable, RegistryTable

Listener = Callable[[View], None]

REPORT_SECONDS: Final = 0.25
"""How long a heartbeat waits for its metric reports to be committed, which need not be sent again then."""

BELIEVED_SECONDS: Final = 86_400.0
"""A clock that nobody has set for so long is right: by it, what is too old is deleted."""

MAX_NUMBER: Final = 2**53
"""A view or configuration number beyond this is no number that a registry has issued."""

_SILENT: Final = "silent for too long"


@dataclass(slots=True)
class _Report:
    """What an instance of the view has last said of itself."""

    ready: bool
    draining: bool
    last_seen: float
    status: NodeStatus | None = None
    links: tuple[LinkStatus, ...] = ()
    view: int = 0
    config: int = 0
    clock: Clock = field(default_factory=Clock)


class Registry:
    """The registry, which is also the way to it (RegistryClient) for a node in the same process.

    `configuration`: channel rules and API keys. `logins`: of people. `audit`: what they did. `metrics`: what the nodes
    count.
    """

    def __init__(
        self,
        settings: RegistryTable,
        keep: MetricsTable = MetricsTable(),  # noqa: B008 - immutable
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock`: seconds since 1970. Raises SettingsError or StartError for settings that cannot be used."""
        self._settings = settings
        self._clock = clock
        place = locate(settings.database)
        self._store = Store(place)
        # What is in memory only has no second connection.
        self._reader = self._store if place.in_memory else Store(locate(settings.database), reads=True)
        # What metrics write is much, and need not keep the roster waiting where the database can do both.
        self._metrics_store = Store(locate(settings.database)) if place.writes_beside else self._store
        self.metrics = Metrics(self._metrics_store, self._reader, keep, clock)
        self.audit = Audit(self._store, self._reader, clock)
        self.configuration = Configuration(self._store, settings, self.audit, clock)
        self.logins = Logins(self._store, self.audit, lambda: self.configuration.ring, clock)
        self._notes = Notes(self._store)
        self._ledger = Ledger(self._store, clock, self._committed)
        self._interval = min(settings.dead_seconds / 10, 0.5)
        self._silence = Silence(settings.dead_seconds, 0.0, 0.0)
        self._reports: dict[Instance, _Report] = {}
        self._lost = 0
        self._view = View(0)
        self._listeners: list[Listener] = []
        self._tasks = Tasks()
        self._running = False
        self._dropping: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Open the database, migrate it where the settings allow that, and take up the last view. Raises StartError."""
        await self._store.open()
        try:
            ensure = partial(migrate.ensure, auto=self._settings.auto_migrate)
            for name in await self._store.run(ensure, patience=None):
                logger.info("Migrated the registry's database: {}", name)
            await self.configuration.load()
            await self.logins.load()
            await self._ledger.load()
            for store in self._other_stores():
                await store.open()
            await self.metrics.load()
        except RequestError as error:
            await self._close_stores()
            raise StartError(error.code, error.message) from error
        except StartError:
            await self._close_stores()
            raise
        late = max(self._settings.dead_seconds / 4, 3 * self._interval)
        self._silence = Silence(self._settings.dead_seconds, late, _now())
        self._running = True
        self._committed()
        self._tell()
        self._tasks.start(self._watch(), name="registry-watch")
        self._tasks.start(self.metrics.run(), name="registry-metrics")
        self._tasks.start(self._tidy(), name="registry-tidy")

    async def close(self) -> None:
        """Keep what is known and close the database. Idempotent."""
        if not self._running:
            return
        self._running = False
        await self._tasks.close()
        self._notes.write(self._view.members)
        self.logins.tidy()
        await self._close_stores()

    @property
    def view(self) -> View:
        """The newest view, with the readiness that its instances have last reported."""
        return self._view

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` soon with the view as it is, and after every change: join, leave, readiness, draining."""
        self._listeners.append(listener)
        if self._running:
            asyncio.get_running_loop().call_soon(listener, self._view)

    async def register(self, member: Member, known: Known = Known()) -> Registration:  # noqa: B008 - immutable
        """As RegistryClient; raises RequestError `invalid_member` too."""
        self._check_running()
        check_member(member)
        self._catch_up_config(member.instance, known.config)
        await self._changed(partial(self._join, member), self._above(member.instance, known.view))
        report = self._reports.get(member.instance)
        if report is not None:
            self._silence.heard(member.instance, _now())
            self._note(member.instance, report, member.ready, member.draining)
        return Registration(self._view, self.configuration.config, self._settings.heartbeat_seconds)

    async def heartbeat(self, beat: Heartbeat) -> HeartbeatReply:
        """As RegistryClient."""
        self._check_running()
        self._catch_up(beat)
        report = self._reports.get(beat.instance)
        if report is None:
            raise self._stranger(beat.instance)
        self._silence.heard(beat.instance, _now())
        report.last_seen = self._clock()
        report.status = beat.status
        report.links = beat.links
        report.view = beat.view
        report.config = beat.config
        self._note(beat.instance, report, beat.status.ready, beat.status.draining)
        report.clock.heard(beat.sent_at, report.last_seen)
        storing = self.metrics.take(beat.instance, beat.reports, report.clock.ahead)
        if storing is not None:
            await asyncio.wait((storing,), timeout=REPORT_SECONDS)
        config = self.configuration.config
        return HeartbeatReply(
            view=self._view if self._view.number > beat.view else None,
            config=config if config.version > beat.config else None,
            reports=self.metrics.committed(beat.instance),
        )

    async def leave(self, instance: Instance) -> None:
        """As RegistryClient; an instance that is not in the view is none the worse for it."""
        self._check_running()
        await self._changed(lambda roster: roster.leave((instance,), self._clock()))

    def measure(self) -> Iterator[Sample]:
        states = Counter(
            "draining" if one.draining else "ready" if one.ready else "not_ready" for one in self._view.nodes
        )
        for state in ("ready", "not_ready", "draining"):
            yield Sample("nodes", states[state], state)
        yield Sample("nodes_lost", self._lost)
        yield Sample("view", self._view.number)
        yield Sample("configuration", self.configuration.config.version)
        for member in self._view.nodes:
            yield Sample("clock_ahead", self._reports[member.instance].clock.ahead, member.node_id)
        writers = {self._store, self._metrics_store}
        yield Sample("database_up", float(all(store.works for store in writers)))
        yield Sample("database_waiting", sum(store.waiting for store in writers))

    async def nodes(self) -> tuple[NodeRecord, ...]:
        """The nodes of the view, by id."""
        records = []
        for member in self._view.nodes:
            report = self._reports[member.instance]
            records.append(
                NodeRecord(
                    member=member,
                    status=report.status,
                    registered_at=self._ledger.roster.seats[member.node_id].since,
                    last_seen=report.last_seen,
                    view=report.view,
                    config=report.config,
                    links=report.links,
                    clock_ahead=report.clock.ahead,
                )
            )
        return tuple(records)

    def _other_stores(self) -> Iterator[Store]:
        return (store for store in (self._metrics_store, self._reader) if store is not self._store)

    async def _close_stores(self) -> None:
        for store in (*self._other_stores(), self._store):
            await store.close()

    async def _changed(self, step: Step, above: int = 0) -> None:
        try:
            await settled(self._ledger.change(step, above))
        except RequestError as error:
            if error.temporary:
                raise RegistryUnavailable(error.message) from error
            raise

    def _check_running(self) -> None:
        if not self._running:
            raise RegistryUnavailable("The registry is starting or stopping: try again soon.")

    def _stranger(self, instance: Instance) -> RequestError:
        if self._ledger.roster.standing(instance) == "superseded":
            return superseded(instance)
        return RequestError(404, "not_registered", f"Instance {instance} is not in the view: register again.")

    def _catch_up(self, beat: Heartbeat) -> None:
        """A node that knows more than the registry shows that the database was lost or is a backup: numbers go on."""
        above = self._above(beat.instance, beat.view)
        if above:
            self._ledger.exceed(above)
        self._catch_up_config(beat.instance, beat.config)

    def _above(self, instance: Instance, number: int) -> int:
        """`number` where it is higher than any view of this registry, else 0."""
        if not self._ledger.number < number < MAX_NUMBER:
            return 0
        logger.warning("{} has view {}, the registry only {}", instance, number, self._ledger.number)
        return number

    def _catch_up_config(self, instance: Instance, version: int) -> None:
        if version < MAX_NUMBER and self.configuration.exceed(version):
            logger.warning("{} has a newer configuration than the registry: {}", instance, version)

    def _note(self, instance: Instance, report: _Report, ready: bool, draining: bool) -> None:
        if (report.ready, report.draining) == (ready, draining):
            return
        report.ready = ready
        report.draining = draining
        self._notes.readiness(instance)
        self._refresh()

    def _committed(self) -> None:
        """The roster has changed: reports and silence follow it, then everybody hears."""
        number = self._ledger.number
        members = {member.instance: member for member in self._ledger.roster.members}
        for instance in self._reports.keys() - members.keys():
            why = self._why_gone(instance)
            self._lost += why == _SILENT
            logger.info("{} is not in view {} any more: {}", instance, number, why)
            del self._reports[instance]
            self.metrics.forget(instance)
            self._silence.forget(instance)
        for instance in members.keys() - self._reports.keys():
            logger.info("{} is in view {}", instance, number)
            member = members[instance]
            self._reports[instance] = _Report(member.ready, member.draining, self._clock())
            self._silence.heard(instance, _now())
        self._refresh()

    def _why_gone(self, instance: Instance) -> str:
        if self._ledger.roster.standing(instance) == "superseded":
            return "another instance has its node id"
        return _SILENT if self._silence.silent(instance, _now()) else "it left"

    def _refresh(self) -> None:
        members = tuple(self._fresh(member) for member in self._ledger.roster.members)
        view = View(self._ledger.number, members)
        if view != self._view:
            self._view = view
            self._tell()

    def _tell(self) -> None:
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.call_soon(
                listener, self._view
            )  # apart: one that fails harms neither the others nor the node that called

    def _fresh(self, member: Member) -> Member:
        report = self._reports[member.instance]
        return msgspec.structs.replace(member, ready=report.ready, draining=report.draining)

    async def _watch(self) -> None:
        """Drops who is silent. Never waits for the database: its delays must not look like the nodes' silence."""
        while True:
            silent = self._silence.check(_now())
            if silent and (self._dropping is None or self._dropping.done()):
                self._dropping = self._ledger.change(partial(self._drop, silent))
            self._notes.write(self._view.members)
            await asyncio.sleep(self._interval)

    def _join(self, member: Member, roster: Roster) -> Roster:
        """Where nodes have a new id at each start, there would be more seats for ever if those of old were kept."""
        now = self._clock()
        return roster.join(member, now).forget(now)

    def _drop(self, silent: tuple[Instance, ...], roster: Roster) -> Roster:
        dead = tuple(instance for instance in silent if self._silence.silent(instance, _now()))
        now = self._clock()
        return roster.leave(dead, now).forget(now)

    async def _tidy(self) -> None:
        self.audit.prune()
        clock = EvenClock(BELIEVED_SECONDS)
        while True:
            self.logins.tidy()
            if clock.look(self._clock(), _now()):
                self.audit.forget()
                self.metrics.tidy()
            await asyncio.sleep(TIDY_SECONDS)


def _now() -> float:
    return asyncio.get_running_loop().time()
