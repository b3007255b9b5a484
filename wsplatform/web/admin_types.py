"""The words of the admin API: what its requests and replies hold."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType

from wsplatform.model import ChannelRule, LinkState, NodeStatus, Scope

MAX_TEXT: Final = 1024


class ErrorText(msgspec.Struct, frozen=True):
    """What went wrong: a stable word for programs, a sentence for people."""

    code: str
    message: str


class ErrorReply(msgspec.Struct, frozen=True):
    error: ErrorText


class PageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which part of a list: at most `limit` items, after the place of `cursor` (`next` of the page before)."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1000, description="How many items at most.")] = 100
    cursor: Annotated[str, msgspec.Meta(max_length=MAX_TEXT, description="`next` of the page before.")] = ""


class NodeQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    contains: Annotated[str, msgspec.Meta(max_length=MAX_TEXT, description="A part of the node id.")] = ""
    ready: Annotated[bool | UnsetType, msgspec.Meta(description="Those that take clients, or do not.")] = UNSET
    draining: Annotated[bool | UnsetType, msgspec.Meta(description="Those that are being emptied, or are not.")] = UNSET


class RuleQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    contains: Annotated[str, msgspec.Meta(max_length=MAX_TEXT, description="A part of the pattern.")] = ""


class KeyQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    contains: Annotated[str, msgspec.Meta(max_length=MAX_TEXT, description="A part of the name.")] = ""
    scope: Annotated[Scope | UnsetType, msgspec.Meta(description="Those with this scope.")] = UNSET


class ChannelQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    channel: Annotated[str, msgspec.Meta(max_length=MAX_TEXT, description="The name of a channel.")]


class NodeItem(msgspec.Struct, frozen=True, kw_only=True):
    """An instance of the view. Times are seconds since 1970 (UTC).

    state: of the node's life, as it last reported; status: all of that report, null before the first.
    view, config: the newest versions that it says it has.
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
    status: NodeStatus | None


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


class NodePage(msgspec.Struct, frozen=True, kw_only=True):
    """view: number of the view that the items are in; next: cursor of the next page, null at the end."""

    view: int
    items: list[NodeItem]
    next: str | None


class RulePage(msgspec.Struct, frozen=True, kw_only=True):
    """config: version of the configuration that the items are in; next: cursor of the next page, null at the end."""

    config: int
    items: list[ChannelRule]
    next: str | None


class RuleMatch(msgspec.Struct, frozen=True, kw_only=True):
    """The rule that holds for a channel, null when none does. fallback: it is the settings' registry.fallback_rule."""

    channel: str
    rule: ChannelRule | None
    fallback: bool


class KeyBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to be made. channels: patterns that it may publish to and ask about, with scope api; none: all."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    scopes: Annotated[tuple[Scope, ...], msgspec.Meta(min_length=1)]
    channels: Annotated[tuple[str, ...], msgspec.Meta(max_length=100)] = ()


class KeyItem(msgspec.Struct, frozen=True, kw_only=True):
    """A key, without its text. created_at: seconds since 1970 (UTC)."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    channels: tuple[str, ...]
    created_at: float


class NewKey(KeyItem, frozen=True, kw_only=True):
    """key: its text, which is told this once."""

    key: str


class KeyPage(msgspec.Struct, frozen=True, kw_only=True):
    """next: cursor of the next page, null at the end."""

    items: list[KeyItem]
    next: str | None


class PluginItem(msgspec.Struct, frozen=True, kw_only=True):
    """healthy: its work is up to date; detail: a sentence for people."""

    name: str
    healthy: bool
    detail: str


class PluginPage(msgspec.Struct, frozen=True, kw_only=True):
    """next: cursor of the next page, null at the end."""

    items: list[PluginItem]
    next: str | None
