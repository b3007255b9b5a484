"""What the registry tells operators; without the database behind it."""

from __future__ import annotations

import msgspec

from wsplatform.model import LinkStatus, Member, NodeStatus, Scope


class NodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An instance of the view. Times are seconds since 1970 (UTC).

    status, links: its newest report, None and () before the first; view, config: the newest versions that it said it
    has.
    """

    member: Member
    status: NodeStatus | None
    registered_at: float
    last_seen: float
    view: int
    config: int
    links: tuple[LinkStatus, ...] = ()


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An API key as operators see it: neither its text nor its digest. created_at: seconds since 1970 (UTC)."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    channels: tuple[str, ...]
    created_at: float
