"""What changes, as it changes: one stream of events for each page that is open, encoded once for all of them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, Literal, Protocol, get_args

import msgspec

from wsplatform.model import ChannelRule, ClusterConfig
from wsplatform.net.tasks import Tasks
from wsplatform.plugins.base import PluginStatus
from wsplatform.registry.records import Entry, KeyRecord, NodeRecord
from wsplatform.web.admin.audit import audit_item
from wsplatform.web.admin.nodes import LinkItem, NodeItem, Nodes, PluginItem, link_items, node_item, plugin_items
from wsplatform.web.admin.routes import Call, Reply, Route
from wsplatform.web.admin.streams import MEDIA, Outbox, Stream, event

Topic = Literal["nodes", "links", "rules", "keys", "plugins", "audit", "metrics"]
TICK_SECONDS: Final = 1.0
LINK_BYTES: Final = 131_072
"""Bytes a second of links that have changed in nothing but their figures: of 50 nodes, 2,450 links are 1 MB."""

_TOPICS: Final = get_args(Topic)
_WORDS: Final = "|".join(_TOPICS)
_STATES: Final[Mapping[Topic, float]] = {
    "nodes": 0.0,
    "links": 0.0,
    "plugins": 0.0,
    "rules": math.inf,
    "keys": math.inf,
}
"""Topics whose state is looked at, and seconds for which one of the same mark needs no look."""

_SLACK: Final = 0.05


class Configuration(Protocol):
    """registry/configuration.py: Configuration."""

    @property
    def config(self) -> ClusterConfig: ...

    def rules(self) -> tuple[ChannelRule, ...]: ...

    def keys(self) -> tuple[KeyRecord, ...]: ...


class Audit(Protocol):
    """registry/audit.py: Audit."""

    def subscribe(self, listener: Callable[[Entry], None]) -> None: ...


class Metrics(Protocol):
    """registry/metrics.py: Metrics."""

    @property
    def until(self) -> int: ...

    def subscribe(self, listener: Callable[[int], None]) -> None: ...


class EventsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    topics: Annotated[
        str,
        msgspec.Meta(
            pattern=rf"^({_WORDS})(,({_WORDS}))*$", max_length=1024, description="Which events, separated by commas."
        ),
    ] = ",".join(_TOPICS)


class NodesEvent(msgspec.Struct, frozen=True):
    view: int
    items: list[NodeItem]


class LinksEvent(msgspec.Struct, frozen=True):
    items: list[LinkItem]


class PluginsEvent(msgspec.Struct, frozen=True):
    items: list[PluginItem]


class ConfigEvent(msgspec.Struct, frozen=True):
    config: int


class MetricsEvent(msgspec.Struct, frozen=True):
    to: int


@dataclass(frozen=True, slots=True)
class Sources:
    """Whose state is told. plugins: their status by name, asked each time."""

    nodes: Nodes
    configuration: Configuration
    plugins: Callable[[], Mapping[str, PluginStatus]]
    audit: Audit
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class _Told:
    """What the readers of a topic know. mark: another one is told at once, the same one not before `again`."""

    mark: object
    chunk: bytes
    again: float


def event_routes(sources: Sources) -> tuple[Route[Any, Any], ...]:
    area = _Events(_Hub(sources))
    return (
        Route(
            "GET",
            "/events",
            "stream_events",
            area.stream,
            "What changes, as it changes",
            {200: Reply("Server-sent events: of each topic the state, then every change.", str, MEDIA)},
            query=EventsQuery,
            refusals=(503,),
        ),
    )


class _Events:
    def __init__(self, hub: _Hub) -> None:
        self._hub = hub

    async def stream(self, call: Call[EventsQuery, None]) -> Stream:
        topics = dict.fromkeys(topic for topic in _TOPICS if topic in call.query.topics.split(","))
        return Stream(partial(self._hub.attach, topics=tuple(topics)))


class _Hub:
    """All readers. What they read is looked at each second, as long as there are any."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._readers: dict[Outbox, tuple[Topic, ...]] = {}
        self._told: dict[Topic, _Told] = {}
        self._looked: dict[Topic, float] = {}
        self._tasks = Tasks()
        self._ticking: asyncio.Task[None] | None = None
        sources.audit.subscribe(lambda entry: self._send("audit", event("audit", audit_item(entry))))
        sources.metrics.subscribe(lambda until: self._send("metrics", event("metrics", MetricsEvent(until))))

    async def attach(self, outbox: Outbox, topics: tuple[Topic, ...]) -> Callable[[], None]:
        """A feed (web/admin/streams.py)."""
        await self._look(topics)
        for topic in topics:
            if topic in self._told:
                outbox.send(self._told[topic].chunk)
        if "metrics" in topics:
            outbox.send(event("metrics", MetricsEvent(self._sources.metrics.until)))
        self._readers[outbox] = topics
        if self._ticking is None:
            self._ticking = self._tasks.start(self._tick(), name="admin-events")
        return partial(self._detach, outbox)

    def _detach(self, outbox: Outbox) -> None:
        del self._readers[outbox]
        for topic in self._told.keys() - self._wanted():
            del self._told[topic], self._looked[topic]
        if not self._readers and self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None

    def _wanted(self) -> set[Topic]:
        return {topic for topics in self._readers.values() for topic in topics}

    def _send(self, topic: Topic, chunk: bytes) -> None:
        for outbox, topics in tuple(self._readers.items()):
            if topic in topics:
                outbox.send(chunk)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            await self._look(self._wanted())

    async def _look(self, topics: Iterable[Topic]) -> None:
        """Tell what has changed; what was looked at within this second is left for the next."""
        now = asyncio.get_running_loop().time()
        records = await self._sources.nodes.nodes()
        for topic in topics:
            if topic in _STATES and now >= self._looked.get(topic, 0.0) + TICK_SECONDS - _SLACK:
                self._looked[topic] = now
                self._compare(topic, records, now)

    def _compare(self, topic: Topic, records: Sequence[NodeRecord], now: float) -> None:
        told = self._told.get(topic)
        mark = self._mark(topic, records)
        if told is not None and mark == told.mark and now < told.again:
            return
        chunk = event(topic, self._state(topic, records))
        again = now + (len(chunk) / LINK_BYTES if topic == "links" else _STATES[topic])
        self._told[topic] = _Told(mark, chunk, again)
        if told is None or chunk != told.chunk:
            self._send(topic, chunk)

    def _mark(self, topic: Topic, records: Sequence[NodeRecord]) -> object:
        match topic:
            case "links":
                links = ((record.member.instance, link) for record in records for link in record.links)
                return [(one, link.node_id, link.incarnation, link.state, link.transport) for one, link in links]
            case "rules":
                return self._sources.configuration.rules()
            case "keys":
                return self._sources.configuration.keys()
            case _:
                return None

    def _state(self, topic: Topic, records: Sequence[NodeRecord]) -> msgspec.Struct:
        match topic:
            case "nodes":
                return NodesEvent(self._sources.nodes.view.number, [node_item(record) for record in records])
            case "links":
                return LinksEvent([item for one in records for item in link_items(one)])
            case "plugins":
                return PluginsEvent(plugin_items(self._sources.plugins()))
            case _:
                return ConfigEvent(self._sources.configuration.config.version)
