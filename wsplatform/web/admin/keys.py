"""API keys: list, make, revoke."""

from __future__ import annotations

from typing import Annotated, Any, Protocol

import msgspec
from msgspec import UNSET, UnsetType
from sanic import HTTPResponse

from wsplatform.model import Scope
from wsplatform.registry.records import Actor, KeyRecord
from wsplatform.web.admin.requests import page
from wsplatform.web.admin.routes import Call, Parameter, Reply, Route, empty_reply, json_reply
from wsplatform.web.admin.types import MAX_TEXT, PageQuery


class Keys(Protocol):
    """registry/configuration.py: Configuration."""

    def keys(self) -> tuple[KeyRecord, ...]: ...

    async def create_key(
        self, name: str, scopes: tuple[Scope, ...], channels: tuple[str, ...], by: Actor
    ) -> tuple[str, KeyRecord]: ...

    async def revoke_key(self, key_id: str, by: Actor) -> None: ...


class KeyQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    contains: Annotated[str, msgspec.Meta(max_length=MAX_TEXT, description="A part of the name.")] = ""
    scope: Annotated[Scope | UnsetType, msgspec.Meta(description="Those with this scope.")] = UNSET


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


def key_routes(keys: Keys) -> tuple[Route[Any, Any], ...]:
    area = _Keys(keys)
    return (
        Route(
            "GET",
            "/keys",
            "list_keys",
            area.page,
            "The API keys",
            {200: Reply("Oldest first.", KeyPage)},
            query=KeyQuery,
        ),
        Route(
            "POST",
            "/keys",
            "create_key",
            area.create,
            "Make a key; its text is told this once",
            {201: Reply("The key.", NewKey)},
            body=KeyBody,
            refusals=(409, 503),
        ),
        Route(
            "DELETE",
            "/keys/{id}",
            "revoke_key",
            area.revoke,
            "Revoke a key",
            {204: Reply("It opens nothing any more.")},
            refusals=(404, 503),
            parameters=(Parameter("id", "The key's id."),),
        ),
    )


class _Keys:
    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    async def page(self, call: Call[KeyQuery, None]) -> HTTPResponse:
        asked = call.query
        records = self._keys.keys()
        wanted = (
            record
            for record in records
            if asked.contains in record.name and (asked.scope is UNSET or asked.scope in record.scopes)
        )
        taken, following = page(wanted, lambda key: (key.created_at, key.id), tuple[float, str], asked)
        return json_reply(KeyPage(items=[KeyItem(**_fields(key)) for key in taken], next=following))

    async def create(self, call: Call[None, KeyBody]) -> HTTPResponse:
        told = call.body
        text, record = await self._keys.create_key(told.name, told.scopes, told.channels, call.caller.actor)
        return json_reply(NewKey(key=text, **_fields(record)), 201)

    async def revoke(self, call: Call[None, None]) -> HTTPResponse:
        await self._keys.revoke_key(call.path["id"], call.caller.actor)
        return empty_reply()


def _fields(record: KeyRecord) -> dict[str, Any]:
    return msgspec.structs.asdict(record)
