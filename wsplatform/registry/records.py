"""What the registry tells operators; without the database behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from wsplatform.core.series import Question, Series
from wsplatform.model import BusyChannel, LinkStatus, Member, NodeStatus, Scope


class NodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An instance of the view. Times are seconds since 1970 (UTC).

    status, links: its newest report, None and () before the first; view, config: the newest versions that it said it
    has. clock_ahead: seconds by which its clock is ahead of the registry's, negative: behind; 0: it is right.
    """

    member: Member
    status: NodeStatus | None
    registered_at: float
    last_seen: float
    view: int
    config: int
    links: tuple[LinkStatus, ...] = ()
    clock_ahead: float = 0.0


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An API key as operators see it: neither its text nor its digest. created_at: seconds since 1970 (UTC)."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    channels: tuple[str, ...]
    created_at: float


Action = Literal[
    "rule.set",
    "rule.delete",
    "key.create",
    "key.revoke",
    "session.disconnect",
    "node.drain",
    "publish",
    "login",
    "logout",
    "login.refused",
]


class Actor(msgspec.Struct, frozen=True):
    """Who does something: a key by id and name, empty where none is known, and the client's address or `unknown`."""

    key_id: str = ""
    key_name: str = ""
    address: str = "unknown"


class Deed(msgspec.Struct, frozen=True):
    """What somebody does. target: the pattern, id or channel that it is about.

    before, after: objects for people, without secrets and without what was published.
    """

    actor: Actor
    action: Action
    target: str
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A deed that was recorded. id: grows. at: seconds since 1970 (UTC)."""

    id: int
    at: float
    deed: Deed


@dataclass(frozen=True, slots=True)
class Wanted:
    """Entries that are asked for, newest first. actor: a key's id or name; contains: a part of the target.

    since, until: seconds since 1970, since <= at < until. before: only ids below it. limit: how many at most.
    """

    limit: int
    before: int | None = None
    actor: str = ""
    action: str = ""
    contains: str = ""
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """until: up to then (Unix time) every node has reported; see core/series.py for what comes after.

    left_out: how many series are not here because of `most`.
    """

    asked: Question
    until: int
    series: list[Series]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Busiest:
    """What a node told last. seconds: over which it counted publications; ended: Unix time."""

    ended: float
    seconds: float
    channels: tuple[BusyChannel, ...]
