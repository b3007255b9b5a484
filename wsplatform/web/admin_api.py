"""`/admin/v1/…`: nodes, links, channel rules, API keys and plugins, for people with an admin key; see admin_doc.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Final, Protocol

import msgspec
from loguru import logger
from msgspec import UNSET
from sanic import Blueprint, HTTPResponse, Request

from wsplatform.core.channels import RuleBook, valid_channel
from wsplatform.core.keys import KeyRing
from wsplatform.core.throttle import Throttle
from wsplatform.errors import RequestError
from wsplatform.model import ChannelRule, ClusterConfig, LinkStatus, Scope, View
from wsplatform.plugins.base import PluginStatus
from wsplatform.registry.records import KeyRecord, NodeRecord
from wsplatform.web import admin_types as words
from wsplatform.web.admin_requests import body, converted, key_of, page, path_text, query

Handler = Callable[..., Coroutine[Any, Any, HTTPResponse]]

LOG_SECONDS: Final = 60.0
_REFUSED: Final = {401: {"www-authenticate": 'Bearer realm="wsplatform admin"'}}
_PRIVATE: Final = {"cache-control": "no-store"}


class NodeDirectory(Protocol):
    """Who is in the cluster (registry/service.py: Registry)."""

    @property
    def view(self) -> View: ...

    async def nodes(self) -> tuple[NodeRecord, ...]: ...


class RulesAndKeys(Protocol):
    """What nodes are told (registry/configuration.py: Configuration)."""

    @property
    def config(self) -> ClusterConfig: ...

    @property
    def ring(self) -> KeyRing: ...

    def rules(self) -> tuple[ChannelRule, ...]: ...

    def keys(self) -> tuple[KeyRecord, ...]: ...

    async def set_rule(self, rule: ChannelRule) -> bool: ...

    async def delete_rule(self, pattern: str) -> None: ...

    async def create_key(
        self, name: str, scopes: tuple[Scope, ...], channels: tuple[str, ...] = ()
    ) -> tuple[str, KeyRecord]: ...

    async def revoke_key(self, key_id: str) -> None: ...


def admin_blueprint(
    nodes: NodeDirectory, configuration: RulesAndKeys, plugins: Callable[[], Mapping[str, PluginStatus]]
) -> Blueprint:
    """`plugins`: their status by name, asked at each request."""
    cluster, rules, keys = _Cluster(nodes, plugins), _Rules(configuration), _Keys(configuration)
    gate = _Gate(configuration)
    blueprint = Blueprint("admin", url_prefix="/admin/v1")

    def route(method: str, path: str, name: str, handler: Handler) -> None:
        # stream: a body is read only when the key has been looked at.
        stream = method in ("PUT", "POST")
        blueprint.add_route(gate.guarded(handler), path, methods=[method], name=name, stream=stream)

    route("GET", "/nodes", "list_nodes", cluster.nodes)
    route("GET", "/links", "list_links", cluster.links)
    route("GET", "/plugins", "list_plugins", cluster.plugins)
    route("GET", "/rules", "list_rules", rules.page)
    route("GET", "/rules/test", "test_rules", rules.test)
    route("PUT", "/rules/<pattern:path>", "set_rule", rules.put)
    route("DELETE", "/rules/<pattern:path>", "delete_rule", rules.delete)
    # A rule may be called "test" as well: Sanic looks at fixed paths first and would refuse the method there.
    route("PUT", "/rules/test", "set_rule_test", partial(rules.put, pattern="test"))
    route("DELETE", "/rules/test", "delete_rule_test", partial(rules.delete, pattern="test"))
    route("GET", "/keys", "list_keys", keys.page)
    route("POST", "/keys", "create_key", keys.create)
    route("DELETE", "/keys/<key_id:str>", "revoke_key", keys.revoke)
    return blueprint


class _Gate:
    """Lets admins in."""

    def __init__(self, configuration: RulesAndKeys) -> None:
        self._configuration = configuration
        self._throttle = Throttle(LOG_SECONDS)

    def guarded(self, handler: Handler) -> Handler:
        """`handler` behind the gate. Not a middleware: a route without its gate must not come about by an oversight."""

        async def handle(request: Request, **parts: str) -> HTTPResponse:
            try:
                key_of(request, self._configuration.ring)
            except RequestError as error:
                self._log(request, error)
                reply = words.ErrorReply(words.ErrorText(error.code, error.message))
                return _json(reply, error.status, _REFUSED.get(error.status))
            return await handler(request, **parts)

        return handle

    def _log(self, request: Request, error: RequestError) -> None:
        held_back = self._throttle.allow(f"{request.ip} {error.status}", asyncio.get_running_loop().time())
        if held_back is not None:
            logger.warning("Refused {} from the admin API: {} ({} more before)", request.ip, error.code, held_back)


class _Cluster:
    def __init__(self, nodes: NodeDirectory, plugins: Callable[[], Mapping[str, PluginStatus]]) -> None:
        self._nodes = nodes
        self._plugins = plugins

    async def nodes(self, request: Request) -> HTTPResponse:
        asked = query(request, words.NodeQuery)
        records = await self._nodes.nodes()
        wanted = (record for record in records if _wanted(record, asked))
        taken, following = page(wanted, lambda record: record.member.node_id, str, asked)
        items = [_node(record) for record in taken]
        return _json(words.NodePage(view=self._nodes.view.number, items=items, next=following))

    async def links(self, request: Request) -> HTTPResponse:
        asked = query(request, words.LinkQuery)
        found = (_link(record.member.node_id, link) for record in await self._nodes.nodes() for link in record.links)
        wanted = (link for link in found if _wanted_link(link, asked))
        taken, following = page(wanted, lambda link: (link.node, link.peer), tuple[str, str], asked)
        return _json(words.LinkPage(items=taken, next=following))

    async def plugins(self, request: Request) -> HTTPResponse:
        asked = query(request, words.PageQuery)
        found = sorted(self._plugins().items())
        taken, following = page(found, lambda item: item[0], str, asked)
        items = [words.PluginItem(name=name, healthy=status.healthy, detail=status.detail) for name, status in taken]
        return _json(words.PluginPage(items=items, next=following))


class _Rules:
    def __init__(self, configuration: RulesAndKeys) -> None:
        self._configuration = configuration

    async def page(self, request: Request) -> HTTPResponse:
        asked = query(request, words.RuleQuery)
        wanted = (rule for rule in self._configuration.rules() if asked.contains in rule.pattern)
        items, following = page(wanted, lambda rule: rule.pattern, str, asked)
        return _json(words.RulePage(config=self._configuration.config.version, items=items, next=following))

    async def test(self, request: Request) -> HTTPResponse:
        channel = query(request, words.ChannelQuery).channel
        if not valid_channel(channel):
            raise RequestError(400, "invalid_channel", "No channel can have this name.")
        rule = RuleBook(self._configuration.config.rules).match(channel)
        fallback = rule is not None and rule not in self._configuration.rules()
        return _json(words.RuleMatch(channel=channel, rule=rule, fallback=fallback))

    async def put(self, request: Request, pattern: str) -> HTTPResponse:
        pattern = path_text(pattern)
        rule = converted({"pattern": pattern, **await body(request, dict[str, Any])}, ChannelRule)
        if rule.pattern != pattern:
            raise RequestError(400, "bad_body", "The pattern in the body is another one than in the path.")
        new = await self._configuration.set_rule(rule)
        return _json(rule, 201 if new else 200)

    async def delete(self, request: Request, pattern: str) -> HTTPResponse:
        await self._configuration.delete_rule(path_text(pattern))
        return HTTPResponse(status=204)


class _Keys:
    def __init__(self, configuration: RulesAndKeys) -> None:
        self._configuration = configuration

    async def page(self, request: Request) -> HTTPResponse:
        asked = query(request, words.KeyQuery)
        records = self._configuration.keys()
        wanted = (
            record
            for record in records
            if asked.contains in record.name and (asked.scope is UNSET or asked.scope in record.scopes)
        )
        taken, following = page(wanted, lambda key: (key.created_at, key.id), tuple[float, str], asked)
        return _json(words.KeyPage(items=[words.KeyItem(**_fields(key)) for key in taken], next=following))

    async def create(self, request: Request) -> HTTPResponse:
        told = await body(request, words.KeyBody)
        text, record = await self._configuration.create_key(told.name, told.scopes, told.channels)
        return _json(words.NewKey(key=text, **_fields(record)), 201)

    async def revoke(self, request: Request, key_id: str) -> HTTPResponse:
        await self._configuration.revoke_key(path_text(key_id))
        return HTTPResponse(status=204)


def _wanted(record: NodeRecord, asked: words.NodeQuery) -> bool:
    member = record.member
    return (
        asked.contains in member.node_id
        and asked.ready in (UNSET, member.ready)
        and asked.draining in (UNSET, member.draining)
    )


def _wanted_link(link: words.LinkItem, asked: words.LinkQuery) -> bool:
    return asked.node in ("", link.node) and asked.peer in ("", link.peer) and asked.state in (UNSET, link.state)


def _link(node_id: str, link: LinkStatus) -> words.LinkItem:
    told = msgspec.structs.asdict(link)
    return words.LinkItem(node=node_id, peer=told.pop("node_id"), **told)


def _node(record: NodeRecord) -> words.NodeItem:
    member = record.member
    return words.NodeItem(
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
        status=record.status,
    )


def _fields(record: KeyRecord) -> dict[str, Any]:
    return msgspec.structs.asdict(record)


def _json(reply: msgspec.Struct, status: int = 200, headers: Mapping[str, str] | None = None) -> HTTPResponse:
    return HTTPResponse(msgspec.json.encode(reply), status, {**_PRIVATE, **(headers or {})}, "application/json")
