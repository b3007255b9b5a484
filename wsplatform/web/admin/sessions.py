"""The sessions of the whole cluster: list, look at one, end one."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType
from sanic import HTTPResponse

from wsplatform.core.merge import Page, merge
from wsplatform.errors import FORCE_NO_RECONNECT, FORCE_RECONNECT, RequestError
from wsplatform.web.admin.audit import Audit
from wsplatform.web.admin.cluster import Cluster, answers_of
from wsplatform.web.admin.requests import next_cursor, place_of
from wsplatform.web.admin.routes import Call, Parameter, Reply, Route, empty_reply, json_reply
from wsplatform.web.admin.types import MAX_TEXT, PageQuery
from wsplatform.wire import inspect as wire

T = TypeVar("T")


class SessionsQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    user: Annotated[
        Annotated[str, msgspec.Meta(max_length=MAX_TEXT)] | UnsetType,
        msgspec.Meta(description="Those of this user; empty: anonymous ones."),
    ] = UNSET
    channel: Annotated[str, msgspec.Meta(max_length=MAX_TEXT, description="Those that are on this channel.")] = ""
    node: Annotated[str, msgspec.Meta(max_length=MAX_TEXT, description="Those of this node, by its id.")] = ""
    contains: Annotated[
        str, msgspec.Meta(max_length=MAX_TEXT, description="A part of the id, the user or the address.")
    ] = ""
    slow: Annotated[bool, msgspec.Meta(description="Only those whose client reads slowly: data waits for it.")] = False


class EndQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reconnect: Annotated[
        bool, msgspec.Meta(description="Whether the client is to come back at once, or not by itself.")
    ] = False


class SessionItem(msgspec.Struct, frozen=True, kw_only=True):
    """user: empty: anonymous. connected_at: seconds since 1970 (UTC). subscriptions: how many. waiting_bytes: what the
    client has not read yet."""

    id: str
    user: str
    node: str
    address: str
    connected_at: float
    subscriptions: int
    protocol: str
    waiting_bytes: int


class SessionPage(msgspec.Struct, frozen=True, kw_only=True):
    """next: cursor of the next page, null at the end; a page may be short all the same. missing: nodes that did not
    answer in time, or not as they should, whose sessions are not here."""

    items: list[SessionItem]
    next: str | None
    missing: list[str]


class SessionState(SessionItem, frozen=True, kw_only=True):
    """channels: the first by name, as many as fit. info: what the token says about the connection. expires_at: when the
    token does, null: never."""

    channels: list[str]
    info: Raw | None
    expires_at: float | None


_SESSION: Final = (Parameter("id", "The session's id, which its client knows as client id."),)


def session_routes(cluster: Cluster, audit: Audit) -> tuple[Route[Any, Any], ...]:
    area = _Sessions(cluster, audit)
    return (
        Route(
            "GET",
            "/sessions",
            "list_sessions",
            area.page,
            "The sessions of the cluster",
            {200: Reply("By id.", SessionPage)},
            query=SessionsQuery,
            refusals=(503,),
        ),
        Route(
            "GET",
            "/sessions/{id}",
            "get_session",
            area.one,
            "One session, in detail",
            {200: Reply("The session.", SessionState)},
            refusals=(404, 503),
            parameters=_SESSION,
        ),
        Route(
            "DELETE",
            "/sessions/{id}",
            "end_session",
            area.end,
            "End a session: its client is disconnected",
            {204: Reply("It has ended.")},
            query=EndQuery,
            refusals=(404, 503),
            parameters=_SESSION,
        ),
    )


class _Sessions:
    def __init__(self, cluster: Cluster, audit: Audit) -> None:
        self._cluster = cluster
        self._audit = audit

    async def page(self, call: Call[SessionsQuery, None]) -> HTTPResponse:
        asked = call.query
        after = place_of(asked.cursor, str) if asked.cursor else ""
        question = wire.ListSessions(
            user=None if asked.user is UNSET else asked.user,
            channel=asked.channel,
            contains=asked.contains,
            slow=asked.slow,
            after=after,
            limit=asked.limit,
        )
        answers, missing = answers_of(await self._cluster.ask(question, asked.node), wire.SessionPage)
        pages = {
            node_id: Page([(session.id, session) for session in answer.sessions], answer.upto)
            for node_id, answer in answers.items()
        }
        merged = merge(pages, after, asked.limit)
        items = [SessionItem(**_fields(*one)) for same in merged.found.values() for one in same.items()]
        return json_reply(
            SessionPage(items=items, next=next_cursor(merged), missing=sorted({*missing, *merged.faulty}))
        )

    async def one(self, call: Call[None, None]) -> HTTPResponse:
        node_id, details = await self._find(wire.DescribeSession(call.path["id"]), wire.SessionDetails)
        state = SessionState(
            **_fields(node_id, details.session),
            channels=list(details.channels),
            info=_json(details.info),
            expires_at=details.expires_at,
        )
        return json_reply(state)

    async def end(self, call: Call[EndQuery, None]) -> HTTPResponse:
        why = FORCE_RECONNECT if call.query.reconnect else FORCE_NO_RECONNECT
        session_id = call.path["id"]
        node_id, details = await self._find(wire.DescribeSession(session_id), wire.SessionDetails)
        session = details.session
        before = {"user": session.user, "node": node_id, "address": session.address}
        after = {"reconnect": call.query.reconnect}
        await self._audit.record(call.caller.actor, "session.disconnect", session_id, before, after)
        await self._find(wire.EndSession(session_id, why.code, why.reason), wire.Done)
        return empty_reply()

    async def _find(self, question: wire.Question, kind: type[T]) -> tuple[str, T]:
        """The answer of the node that has the session. Raises RequestError 404, or 503 when that cannot be known."""
        found = await self._cluster.ask(question)
        answers, _ = answers_of(found, kind)
        if answers:
            return next(iter(answers.items()))
        silent = sorted(answers_of(found, wire.Unknown)[1])
        if silent:
            who = ", ".join(silent)
            raise RequestError(
                503, "incomplete", f"No node that answered has this session, but {who} did not: try again."
            )
        raise RequestError(404, "unknown_session", "There is no session with this id: it has ended, or never was.")


def _fields(node_id: str, session: wire.SessionItem) -> dict[str, Any]:
    return {**msgspec.structs.asdict(session), "node": node_id}


def _json(text: bytes | None) -> Raw | None:
    """None, too, for what a node says that is no JSON: it would break the whole answer."""
    if text is None:
        return None
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return Raw(text)
