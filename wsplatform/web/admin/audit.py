"""The audit log: who changed what, when and from where."""

from __future__ import annotations

from typing import Annotated, Any, Protocol

import msgspec
from msgspec import UNSET, UnsetType
from sanic import HTTPResponse

from wsplatform.registry.records import Action, Actor, Entry, Wanted
from wsplatform.web.admin.requests import bad_cursor, cursor_of, place_of
from wsplatform.web.admin.routes import Call, Reply, Route, json_reply
from wsplatform.web.admin.types import MAX_TEXT, PageQuery

_Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT, pattern=r"^[^\x00]*$")]  # PostgreSQL has no U+0000


class Log(Protocol):
    """registry/audit.py: Audit."""

    async def find(self, wanted: Wanted) -> list[Entry]: ...


class Audit(Protocol):
    """registry/audit.py: Audit, for who does something that is no change of the registry's own."""

    async def record(
        self,
        actor: Actor,
        action: Action,
        target: str,
        before: dict[str, Any] | None = ...,
        after: dict[str, Any] | None = ...,
    ) -> None: ...


class AuditQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    actor: Annotated[_Text, msgspec.Meta(description="Those of this key, by its id or name.")] = ""
    action: Annotated[Action | UnsetType, msgspec.Meta(description="Those of this kind.")] = UNSET
    contains: Annotated[_Text, msgspec.Meta(description="A part of the target.")] = ""
    since: Annotated[float | UnsetType, msgspec.Meta(description="From this moment on, since 1970.")] = msgspec.field(
        name="from", default=UNSET
    )
    until: Annotated[float | UnsetType, msgspec.Meta(description="From before this moment, since 1970.")] = (
        msgspec.field(name="to", default=UNSET)
    )


class AuditActor(msgspec.Struct, frozen=True):
    """A key, by its id and by its name of that time; empty: none is known."""

    key: str
    name: str


class AuditItem(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody did. at: seconds since 1970 (UTC). address: of the client, `unknown` without one.

    target: the pattern, key, channel, session or node that it was done to. before, after: how that was, and what became
    of it, null where it was or is not there. What was published is not kept, nor the text of any key.
    """

    id: int
    at: float
    actor: AuditActor
    address: str
    action: str
    target: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """next: cursor of the next page, null at the end."""

    items: list[AuditItem]
    next: str | None


def audit_routes(log: Log) -> tuple[Route[Any, Any], ...]:
    area = _Audit(log)
    return (
        Route(
            "GET",
            "/audit",
            "list_audit",
            area.page,
            "What was changed, by whom, when and from where",
            {200: Reply("Newest first.", AuditPage)},
            query=AuditQuery,
            refusals=(503,),
        ),
    )


def audit_item(entry: Entry) -> AuditItem:
    deed, actor = entry.deed, entry.deed.actor
    return AuditItem(
        id=entry.id,
        at=entry.at,
        actor=AuditActor(actor.key_id, actor.key_name),
        address=actor.address,
        action=deed.action,
        target=deed.target,
        before=deed.before,
        after=deed.after,
    )


class _Audit:
    def __init__(self, log: Log) -> None:
        self._log = log

    async def page(self, call: Call[AuditQuery, None]) -> HTTPResponse:
        asked = call.query
        found = await self._log.find(
            Wanted(
                limit=asked.limit + 1,
                before=_place(asked.cursor) if asked.cursor else None,
                actor=asked.actor,
                action=asked.action or "",
                contains=asked.contains,
                since=None if asked.since is UNSET else asked.since,
                until=None if asked.until is UNSET else asked.until,
            )
        )
        taken = found[: asked.limit]
        following = cursor_of(taken[-1].id) if len(found) > asked.limit else None
        return json_reply(AuditPage(items=[audit_item(entry) for entry in taken], next=following))


def _place(cursor: str) -> int:
    place = place_of(cursor, int)
    if not 0 <= place < 1 << 63:  # databases have no larger numbers
        raise bad_cursor()
    return place
