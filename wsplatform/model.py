"""The words that all layers share, as immutable data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

NODE_ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
"""Node ids reach HAProxy's configuration and command socket, where anything else could inject commands."""

RESERVED_PREFIX = "$"
"""Channels of the platform's own begin with this; clients never reach them."""


class Instance(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One run of a node."""

    node_id: str
    incarnation: str

    def __str__(self) -> str:
        return f"{self.node_id}/{self.incarnation}"


MemberRole = Literal["node", "registry"]

REGISTRY_ID = "registry"
"""Of a registry that runs by itself, among the members; there is one in a cluster, and no node may have this id."""


class Member(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An instance in a view, with where it can be reached.

    `cluster_url` is for nodes (ws:// or wss://), `client_url` for the load balancer (http:// or https://). A registry
    that runs by itself is a member, so as to ask the nodes; it has neither address, for it is the one that connects.
    """

    node_id: str
    incarnation: str
    cluster_url: str
    client_url: str
    ready: bool = False
    draining: bool = False
    role: MemberRole = "node"

    @property
    def instance(self) -> Instance:
        return Instance(self.node_id, self.incarnation)


class View(msgspec.Struct, frozen=True):
    """A numbered list of instances, issued by the registry. The number only grows."""

    number: int
    members: tuple[Member, ...] = ()

    @property
    def nodes(self) -> tuple[Member, ...]:
        """The members that take clients."""
        return tuple(member for member in self.members if member.role == "node")

    def without(self, node_id: str) -> tuple[Member, ...]:
        return tuple(member for member in self.members if member.node_id != node_id)


class ClientInfo(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Who is behind a session, as other clients see it. `conn_info` is JSON from the connection token."""

    user: str
    client: str
    conn_info: msgspec.Raw | None = None
    chan_info: msgspec.Raw | None = None


class Publication(msgspec.Struct, frozen=True, gc=False):
    """One message on a channel: `data` is JSON as it was published, `info` says which client published, if one did."""

    data: msgspec.Raw
    info: ClientInfo | None = None
    tags: dict[str, str] | None = None


SubscribeRight = Literal["anyone", "users", "token", "nobody"]
PublishRight = Literal["anyone", "users", "subscribers", "nobody"]


class ChannelRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """The options that hold for a channel name or a pattern, in which `*` stands for any characters.

    subscribe: anyone; users (sessions with a user id); token (a subscription token is needed); nobody (backends only).
    publish: which clients may: anyone; users; subscribers (of that channel); nobody. Backends always may.
    max_bytes: the largest publication accepted, in bytes of JSON; 0: no limit of its own.
    """

    pattern: str
    subscribe: SubscribeRight = "users"
    publish: PublishRight = "nobody"
    max_bytes: int = 0


Scope = Literal["admin", "api", "metrics"]


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as nodes know it. The key itself is 256 random bits and never stored; `digest` is its SHA-256 in hex.

    `channels` are patterns that the key may publish to and ask about; empty: all.
    """

    id: str
    name: str
    digest: str
    scopes: tuple[Scope, ...]
    channels: tuple[str, ...] = ()


class ClusterConfig(msgspec.Struct, frozen=True):
    """What the registry tells every node: rules and keys. The version only grows."""

    version: int
    rules: tuple[ChannelRule, ...] = ()
    keys: tuple[ApiKey, ...] = ()


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a node reports with each heartbeat: gauges from its state and counters since its start.

    cpu_seconds: CPU time of the process. memory_bytes: resident. errors: commands of clients and backends that were
    answered with one. sent_bytes, received_bytes: to and from clients. Of the time since the last report: lag, the
    longest that the event loop was late, in seconds; delivery_p99, seconds from the arrival of a publication to its
    write to the last subscriber that 99 of 100 did not exceed, None if there was none or `metrics.enabled` is off.
    """

    state: str
    ready: bool
    draining: bool
    uptime: float
    sessions: int = 0
    users: int = 0
    channels: int = 0
    subscriptions: int = 0
    publications: int = 0
    deliveries: int = 0
    dropped: int = 0
    cpu_seconds: float = 0.0
    memory_bytes: int = 0
    lag: float = 0.0
    errors: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    delivery_p99: float | None = None


LinkState = Literal["connecting", "resuming", "exchanging", "up", "left"]


class LinkStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The link with one peer, since it was made; `transport` is what carries it, None when that is not known.

    state: connecting; resuming (connected, the two agree on what has arrived); exchanging (they tell each other their
    interest); up; left (out of the view, and kept for a while). since: Unix time of the last change between connected
    and not. rtt: seconds, 0 when never measured. queued: bytes that wait for the transport; unacknowledged: bytes given
    to it that may not have arrived. sent, received, replayed, duplicates: envelopes; duplicates came twice and were
    dropped. dropped: publications that it will never have, by cause, and what came from it malformed. gaps:
    publications of its that will never come. canary: seconds that a small publication last took to the peer's
    subscribers and back, None when none came back yet; canary_late: how many were not back when the next was due.
    """

    node_id: str
    incarnation: str
    address: str
    state: LinkState
    transport: str | None
    since: float
    rtt: float
    queued: int
    unacknowledged: int
    sent: int
    received: int
    replayed: int
    duplicates: int
    dropped: dict[str, int]
    gaps: int
    canary: float | None = None
    canary_late: int = 0


class BusyChannel(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """publications: of the interval, published or delivered on this node; subscribers: on this node."""

    channel: str
    publications: int
    subscribers: int


class MetricReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a node counted from `began` to `ended` (Unix time); the names are those of core/metrics.py.

    number: 1, 2, … of the instance; each is counted once. counters: increases by metric and label value. gauges: values
    at the end. histograms: by metric and label value, how many in each bucket that is not empty. busiest: channels with
    the most publications and those with the most subscribers.
    """

    number: int
    began: float
    ended: float
    counters: dict[str, dict[str, float]]
    gauges: dict[str, dict[str, float]]
    histograms: dict[str, dict[str, dict[int, int]]]
    busiest: tuple[BusyChannel, ...] = ()


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """A node's report, and the newest versions of view and configuration that it has. links: with its peers.

    reports: what it has counted and the registry has not acknowledged, oldest first. sent_at: Unix time by the node's
    clock, 0 where it does not say.
    """

    instance: Instance
    view: int
    config: int
    status: NodeStatus
    links: tuple[LinkStatus, ...] = ()
    reports: tuple[MetricReport, ...] = ()
    sent_at: float = 0.0


class Known(msgspec.Struct, frozen=True, array_like=True):
    """The highest numbers that a node has ever been given, by this registry or one that has lost its database."""

    view: int = 0
    config: int = 0


@dataclass(frozen=True, slots=True)
class Registration:
    """What a node gets for registering: the view with itself in it, the rules and keys, and how often to report (s)."""

    view: View
    config: ClusterConfig
    heartbeat_seconds: float


@dataclass(frozen=True, slots=True)
class HeartbeatReply:
    """News since the versions that the heartbeat named; None: nothing new.

    reports: the highest number among the instance's metric reports that is committed.
    """

    view: View | None = None
    config: ClusterConfig | None = None
    reports: int = 0
