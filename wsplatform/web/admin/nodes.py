"""The cluster as the registry knows it: nodes, the links between them, the registry's plugins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import UNSET, UnsetType
from sanic import HTTPResponse

from wsplatform.model import LinkState, LinkStatus, NodeStatus, View
from wsplatform.plugins.base import PluginStatus
from wsplatform.registry.records import NodeRecord
from wsplatform.web.admin.requests import page
from wsplatform.web.admin.routes import Call, Reply, Route, json_reply
from wsplatform.web.admin.types import MAX_TEXT, PageQuery


class Nodes(Protocol):
    """Who is in the cluster (registry/service.py: Registry)."""

    @property
    def view(self) -> View: ...

    async def nodes(self) -> tuple[NodeRecord, ...]: ...


class NodeQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    contains: Annotated[str, msgspec.Meta(max_length=MAX_TEXT, description="A part of the node id.")] = ""
    ready: Annotated[bool | UnsetType, msgspec.Meta(description="Those that take clients, or do not.")] = UNSET
    draining: Annotated[bool | UnsetType, msgspec.Meta(description="Those that are being emptied, or are not.")] = UNSET


class NodeItem(msgspec.Struct, frozen=True, kw_only=True):
    """An instance of the view. Times are seconds since 1970 (UTC).

    state: of the node's life, as it last reported; status: all of that report, null before the first.
    view, config: the newest versions that it says it has. clock_ahead: seconds by which its clock is ahead of the
    registry's, negative: behind; 0 where that is less than five.
    """

    id: str
    incarnation: str
    state: str
    ready: bool
    draining: bool
    client_url: str
    cluster_url: str
    registered_at: float
    last_seen: float
    view: int
    config: int
    clock_ahead: float
    status: NodeStatus | None


class NodePage(msgspec.Struct, frozen=True, kw_only=True):
    """view: number of the view that the items are in; next: cursor of the next page, null at the end."""

    view: int
    items: list[NodeItem]
    next: str | None


class LinkQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    node: Annotated[str, msgspec.Meta(max_length=MAX_TEXT, description="Those of this node, by its id.")] = ""
    peer: Annotated[str, msgspec.Meta(max_length=MAX_TEXT, description="Those that lead to this node.")] = ""
    state: Annotated[LinkState | UnsetType, msgspec.Meta(description="Those in this state.")] = UNSET


class LinkItem(msgspec.Struct, frozen=True, kw_only=True):
    """A node's link with one of its peers, as the node last reported it. Times are seconds, moments since 1970 (UTC).

    state: connecting; resuming (they agree on what has arrived); exchanging (they tell each other which channels they
    want); up; left (the peer is out of the view, the link is kept for a while). since: when it was last connected or
    disconnected. transport: what carries it now, null when that is not known. rtt: of the link, 0 before it was first
    measured; canary: of a publication to the peer's subscribers and back, null before the first; canary_late: how many
    of those were not back when the next was due. queued: bytes that wait; unacknowledged: bytes that may not have
    arrived. sent, received, replayed, duplicates: messages since the link was made. dropped: publications that the
    peer will never get, by cause; gaps: publications of the peer that will never come.
    """

    node: str
    peer: str
    incarnation: str
    address: str
    state: LinkState
    transport: str | None
    since: float
    rtt: float
    canary: float | None
    canary_late: int
    queued: int
    unacknowledged: int
    sent: int
    received: int
    replayed: int
    duplicates: int
    dropped: dict[str, int]
    gaps: int


class LinkPage(msgspec.Struct, frozen=True, kw_only=True):
    """next: cursor of the next page, null at the end."""

    items: list[LinkItem]
    next: str | None


class PluginItem(msgspec.Struct, frozen=True, kw_only=True):
    """distribution: the package that it comes from. healthy: its work is up to date; detail: a sentence for people;

    facts: what else it tells, by name; those that end in _at or _until are moments, in seconds since 1970 (UTC). items:
    what it takes care of, each with facts of its own: of haproxy its servers.
    """

    name: str
    distribution: str
    healthy: bool
    detail: str
    facts: dict[str, str | int | float]
    items: list[dict[str, str | int | float]]


class PluginPage(msgspec.Struct, frozen=True, kw_only=True):
    """next: cursor of the next page, null at the end."""

    items: list[PluginItem]
    next: str | None


def node_routes(nodes: Nodes, plugins: Callable[[], Mapping[str, PluginStatus]]) -> tuple[Route[Any, Any], ...]:
    """`plugins`: their status by name, asked at each request."""
    area = _Cluster(nodes, plugins)
    return (
        Route(
            "GET",
            "/nodes",
            "list_nodes",
            area.nodes,
            "The nodes of the cluster",
            {200: Reply("By id.", NodePage)},
            query=NodeQuery,
        ),
        Route(
            "GET",
            "/links",
            "list_links",
            area.links,
            "The links between the nodes",
            {200: Reply("By node and peer.", LinkPage)},
            query=LinkQuery,
        ),
        Route(
            "GET",
            "/plugins",
            "list_plugins",
            area.plugins,
            "How the registry's plugins are",
            {200: Reply("By name.", PluginPage)},
            query=PageQuery,
        ),
    )


class _Cluster:
    def __init__(self, nodes: Nodes, plugins: Callable[[], Mapping[str, PluginStatus]]) -> None:
        self._nodes = nodes
        self._plugins = plugins

    async def nodes(self, call: Call[NodeQuery, None]) -> HTTPResponse:
        records = await self._nodes.nodes()
        wanted = (record for record in records if _wanted(record, call.query))
        taken, following = page(wanted, lambda record: record.member.node_id, str, call.query)
        items = [node_item(record) for record in taken]
        return json_reply(NodePage(view=self._nodes.view.number, items=items, next=following))

    async def links(self, call: Call[LinkQuery, None]) -> HTTPResponse:
        found = (item for record in await self._nodes.nodes() for item in link_items(record))
        wanted = (link for link in found if _wanted_link(link, call.query))
        taken, following = page(wanted, lambda link: (link.node, link.peer), tuple[str, str], call.query)
        return json_reply(LinkPage(items=taken, next=following))

    async def plugins(self, call: Call[PageQuery, None]) -> HTTPResponse:
        items, following = page(plugin_items(self._plugins()), lambda item: item.name, str, call.query)
        return json_reply(PluginPage(items=items, next=following))


def _plugin(name: str, status: PluginStatus) -> PluginItem:
    return PluginItem(
        name=name,
        distribution=status.distribution,
        healthy=status.healthy,
        detail=status.detail,
        facts=dict(status.facts),
        items=[dict(item) for item in status.items],
    )


def _wanted(record: NodeRecord, asked: NodeQuery) -> bool:
    member = record.member
    return (
        asked.contains in member.node_id
        and asked.ready in (UNSET, member.ready)
        and asked.draining in (UNSET, member.draining)
    )


def _wanted_link(link: LinkItem, asked: LinkQuery) -> bool:
    return asked.node in ("", link.node) and asked.peer in ("", link.peer) and asked.state in (UNSET, link.state)


def link_items(record: NodeRecord) -> list[LinkItem]:
    """Moments are by the registry's clock, whatever the node's says."""
    return [_link_item(record.member.node_id, link, record.clock_ahead) for link in record.links]


def node_item(record: NodeRecord) -> NodeItem:
    member = record.member
    return NodeItem(
        id=member.node_id,
        incarnation=member.incarnation,
        state=record.status.state if record.status else "registered",
        ready=member.ready,
        draining=member.draining,
        client_url=member.client_url,
        cluster_url=member.cluster_url,
        registered_at=record.registered_at,
        last_seen=record.last_seen,
        view=record.view,
        config=record.config,
        clock_ahead=record.clock_ahead,
        status=record.status,
    )


def _link_item(node_id: str, link: LinkStatus, ahead: float) -> LinkItem:
    told = msgspec.structs.asdict(link)
    told["since"] -= ahead
    return LinkItem(node=node_id, peer=told.pop("node_id"), **told)


def plugin_items(plugins: Mapping[str, PluginStatus]) -> list[PluginItem]:
    return [_plugin(name, status) for name, status in sorted(plugins.items())]
