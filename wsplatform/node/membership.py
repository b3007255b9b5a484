"""The one driver of a node's life (core/node_life.py): asks the registry, keeps what it tells and hands it out."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, assert_never

import msgspec
from loguru import logger

from wsplatform.core.control import CALL_OVERHEAD, MAX_CALL_BYTES
from wsplatform.core.node_events import (
    Begin,
    ChannelsLoaded,
    Command,
    ConfigurationFailed,
    ConfigurationLoaded,
    Drained,
    DrainRequested,
    Event,
    Facts,
    HeartbeatAnswered,
    HeartbeatFailed,
    Leave,
    Left,
    LoadChannels,
    LoadConfiguration,
    LoadingBegan,
    NotRegistered,
    PeersSettled,
    Register,
    Registered,
    RegistrationFailed,
    ScheduleAt,
    SendHeartbeat,
    State,
    StopNow,
    Superseded,
    Tick,
)
from wsplatform.core.node_life import Life, Timing, step
from wsplatform.core.reports import Reports
from wsplatform.core.throttle import Throttle
from wsplatform.errors import PlatformError, RequestError
from wsplatform.model import ClusterConfig, Heartbeat, Known, LinkStatus, Member, NodeStatus, View
from wsplatform.net.tasks import Tasks
from wsplatform.node.registry_client import RegistryService

LOG_SECONDS: Final = 30.0
"""The same failure is logged once in this time."""


class MembershipEvents(Protocol):
    """What the node hears of the cluster. Synchronous, on the event loop; must not raise."""

    def config_changed(self, config: ClusterConfig) -> None:
        """Other rules or keys than before hold. Comes before the view of the same reply."""

    def view_changed(self, view: View) -> None:
        """Other instances than before are in the cluster."""

    def became_ready(self) -> None:
        """The node has rules and is connected with its peers, or has waited for them long enough. Comes once."""

    def failed(self, error: PlatformError) -> None:
        """The node must not serve any more: a newer instance has its id, or its settings cannot be used. Comes once."""


class LocalNode(Protocol):
    """What the registry is told of this node."""

    def member(self) -> Member:
        """Id and addresses, which stay the same; asked once. Raises PlatformError where the settings cannot be used."""
        ...

    def status(self) -> NodeStatus:
        """Gauges and counters of the moment; `state`, `ready` and `draining` are filled in by the caller."""
        ...

    def links(self) -> tuple[LinkStatus, ...]: ...


class Membership:
    """This node's place in the cluster. The client stays the caller's, to be closed after drain_and_leave().

    reports: what is to be told with the heartbeats; the last ones before the node leaves.
    """

    def __init__(
        self,
        client: RegistryService,
        local: LocalNode,
        events: MembershipEvents,
        tasks: Tasks,
        timing: Timing = Timing(),  # noqa: B008 - immutable
        reports: Reports | None = None,
    ) -> None:
        self.view: View | None = None
        self.config: ClusterConfig | None = None
        self.last_error: PlatformError | None = None
        self._client = client
        self._local = local
        self._events = events
        self._tasks = tasks
        self._reports = Reports() if reports is None else reports
        self._life = Life(timing)
        self._member: Member | None = None
        self._news: tuple[ClusterConfig, View] | None = None
        self._commands: deque[Command] = deque()
        self._wanted = asyncio.Event()
        self._ready = asyncio.Event()
        self._stopped = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._throttle = Throttle(LOG_SECONDS)
        self._away = False

    @property
    def state(self) -> State:
        return self._life.state

    @property
    def since(self) -> float:
        """When the state was entered, in loop.time(); reports do not count."""
        return self._life.since

    @property
    def ready(self) -> bool:
        return self._life.ready

    @property
    def draining(self) -> bool:
        return self._life.draining

    def reasons(self) -> tuple[str, ...]:
        """Why the node is not ready; empty if it is."""
        return self._life.reasons()

    async def start(self) -> None:
        """Begin; does not wait for the registry, which may be away for long."""
        self._tell(Begin())
        self._tasks.start(self._run(), name="membership").add_done_callback(self._ended)

    async def wait_ready(self, timeout: float) -> bool:
        """Whether the node is ready; waits for it up to `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._ready.wait()
        except TimeoutError:
            return False
        return self.ready

    def peers_settled(self) -> None:
        """The peers of the view are connected and their interest is known. Counts once, from view_changed on."""
        self._tell(PeersSettled())

    async def drain_and_leave(self, drain: Callable[[], Awaitable[None]] | None = None) -> None:
        """Become unready at once, report that while `drain` moves the clients away, then leave the cluster. Idempotent.

        What `drain` has left in the reports is told then, which is tried for Timing.farewell: a registry that is away,
        or cannot commit, costs that and the client's timeout at most.
        """
        self._tell(DrainRequested())
        try:
            if drain is not None:
                await drain()
        finally:
            self._tell(Drained(untold=len(self._reports) > 0))
            await self._stopped.wait()

    def _tell(self, event: Event) -> None:
        before = self._life
        self._life, commands = step(before, event, _now())
        self._log(before, self._life)
        if self._life.ready and not self._ready.is_set():
            self._ready.set()
            self._events.became_ready()
        for command in commands:
            if isinstance(command, ScheduleAt):
                self._schedule(command.when)
            elif isinstance(command, StopNow):
                self._stop(command)
            else:
                self._commands.append(command)
                self._wanted.set()

    def _schedule(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(when, self._tell, Tick())

    def _stop(self, command: StopNow) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for event in (self._stopped, self._ready, self._wanted):
            event.set()
        if command.failed:
            error = self.last_error or PlatformError("internal", "The node stopped without a reason: see its log.")
            logger.error("This node stops: {}", error)
            self._events.failed(error)

    async def _run(self) -> None:
        while not self._stopped.is_set():
            if self._commands:
                self._tell(await self._perform(self._commands.popleft()))
            else:
                self._wanted.clear()
                await self._wanted.wait()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Nobody waits for a driver that is gone; one that broke takes the node with it instead of leaving it mute."""
        broken = not self._stopped.is_set() and not task.cancelled()
        for event in (self._stopped, self._ready):
            event.set()
        if broken:
            self._events.failed(PlatformError("internal", "The node's membership failed: its log has the reason."))

    async def _perform(self, command: Command) -> Event:
        match command:
            case LoadConfiguration():
                return self._load_configuration()
            case Register(facts):
                return await self._register(facts)
            case LoadChannels():
                return self._load_channels()
            case SendHeartbeat():
                return await self._heartbeat(command)
            case Leave():
                return await self._leave()
            case ScheduleAt() | StopNow():
                raise AssertionError("done in _tell")
            case _:
                assert_never(command)

    def _load_configuration(self) -> Event:
        try:
            self._member = self._local.member()
        except PlatformError as error:
            self.last_error = error
            return ConfigurationFailed()
        return ConfigurationLoaded()

    async def _register(self, facts: Facts) -> Event:
        member = msgspec.structs.replace(self._own, ready=facts.ready, draining=facts.draining)
        try:
            registration = await self._client.register(member, self._known)
        except PlatformError as error:
            return self._failed(error, RegistrationFailed)
        self._answered()
        self._news = (registration.config, registration.view)
        return Registered(registration.heartbeat_seconds)

    def _load_channels(self) -> Event:
        self._tell(LoadingBegan())
        if self._news is not None:
            config, view = self._news
            self._news = None
            self._hand_out(config, view)
        return ChannelsLoaded()

    async def _heartbeat(self, command: SendHeartbeat) -> Event:
        while True:
            waiting = len(self._reports)
            answer = await self._report(command)
            more = command.last and 0 < len(self._reports) < waiting
            if not more or not isinstance(answer, HeartbeatAnswered):
                return answer

    async def _report(self, command: SendHeartbeat) -> Event:
        try:
            reply = await self._client.heartbeat(self._beat(command))
        except PlatformError as error:
            if _says(error, "not_registered"):
                logger.info("The registry does not know this node any more, which registers again")
                return NotRegistered()
            return self._failed(error, HeartbeatFailed)
        self._answered()
        self._reports.acknowledge(reply.reports)
        self._hand_out(reply.config, reply.view)
        return HeartbeatAnswered(untold=len(self._reports) > 0)

    def _beat(self, command: SendHeartbeat) -> Heartbeat:
        known = self._known
        facts = command.facts
        status = msgspec.structs.replace(
            self._local.status(), state=command.state.value, ready=facts.ready, draining=facts.draining
        )
        beat = Heartbeat(
            instance=self._own.instance,
            view=known.view,
            config=known.config,
            status=status,
            links=self._local.links(),
            sent_at=time.time(),
        )
        room = MAX_CALL_BYTES - CALL_OVERHEAD - len(msgspec.msgpack.encode(beat))
        return msgspec.structs.replace(beat, reports=self._reports.batch(room))

    async def _leave(self) -> Event:
        try:
            await self._client.leave(self._own.instance)
        except PlatformError as error:
            logger.info("Left without the registry's knowledge: {}", error)
        return Left()

    def _hand_out(self, config: ClusterConfig | None, view: View | None) -> None:
        if config is not None and config != self.config:
            self.config = config
            self._events.config_changed(config)
        if view is not None and view != self.view:
            self.view = view
            self._events.view_changed(view)

    def _failed(self, error: PlatformError, kind: type[RegistrationFailed] | type[HeartbeatFailed]) -> Event:
        self.last_error = error
        if _says(error, "superseded"):
            return Superseded()
        held_back = self._throttle.allow(error.code, _now())
        if held_back is not None:
            self._away = True
            going_on = "serving on with what is known" if self.ready else "not ready until it answers"
            logger.warning("{} This node is {}.", error, going_on)
        return kind(chance=random.random(), refused=not error.temporary)  # noqa: S311 - spreads retries

    def _answered(self) -> None:
        self.last_error = None
        if self._away:
            self._away = False
            logger.info("The registry answers again")

    def _log(self, before: Life, after: Life) -> None:
        report = after.since == before.since and {before.state, after.state} == {State.READY, State.ACTIVE}
        if after.state is not before.state and not report:
            logger.debug("Node life: {} → {}", before.state, after.state)
        if after.ready and not before.ready:
            logger.info("Node {} is ready", self._own.node_id)
        if after.state in (State.DRAINING, State.STOPPED) and after.state is not before.state:
            logger.info("Node is {}", after.state)

    @property
    def _known(self) -> Known:
        return Known(self.view.number if self.view else 0, self.config.version if self.config else 0)

    @property
    def _own(self) -> Member:
        assert self._member is not None, "set in state Initializing, which comes before every call"
        return self._member


def _says(error: PlatformError, code: str) -> bool:
    """Whether the registry has said this. A HandshakeError holds what anybody on the way may have said."""
    return isinstance(error, RequestError) and error.code == code


def _now() -> float:
    return asyncio.get_running_loop().time()
