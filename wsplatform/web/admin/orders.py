"""What operators have the cluster do: publish, drain a node."""

from __future__ import annotations

import sys
from typing import Any, Final

import msgspec
from msgspec import Raw
from sanic import HTTPResponse

from wsplatform.errors import CommandError, RequestError
from wsplatform.web.admin.audit import Audit
from wsplatform.web.admin.channels import check_channel
from wsplatform.web.admin.cluster import Cluster, answers_of
from wsplatform.web.admin.nodes import Nodes
from wsplatform.web.admin.routes import Call, Parameter, Reply, Route, json_reply
from wsplatform.wire import inspect as wire
from wsplatform.wire import server_api as api


class PublicationBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """data: any JSON."""

    channel: str
    data: Raw
    tags: dict[str, str] | None = None


class Published(msgspec.Struct, frozen=True):
    """It is on its way to all subscribers."""


class NodeOrder(msgspec.Struct, frozen=True, kw_only=True):
    """state: what the node does now."""

    node: str
    state: str


_NODE: Final = (Parameter("id", "The node's id."),)


def order_routes(cluster: Cluster, nodes: Nodes, audit: Audit) -> tuple[Route[Any, Any], ...]:
    area = _Orders(cluster, nodes, audit)
    return (
        Route(
            "POST",
            "/publish",
            "publish",
            area.publish,
            "Publish on a channel",
            {200: Reply("Done, as by the server API.", Published)},
            body=PublicationBody,
            refusals=(403, 404, 503),
            max_body=sys.maxsize,
        ),
        Route(
            "POST",
            "/nodes/{id}/drain",
            "drain_node",
            area.drain,
            "End a node's process in order, as SIGTERM does",
            {202: Reply("The node asks its clients to connect elsewhere.", NodeOrder)},
            refusals=(404, 409, 503),
            parameters=_NODE,
        ),
    )


class _Orders:
    def __init__(self, cluster: Cluster, nodes: Nodes, audit: Audit) -> None:
        self._cluster = cluster
        self._nodes = nodes
        self._audit = audit

    async def publish(self, call: Call[None, PublicationBody]) -> HTTPResponse:
        told = call.body
        check_channel(told.channel)
        try:
            publication = api.Publish(channel=told.channel, data=_checked(told.data), tags=told.tags).publication()
            size = {"bytes": len(memoryview(publication.data))}
            await self._audit.record(call.caller.actor, "publish", told.channel, after=size)
            await self._cluster.publish(told.channel, publication)
        except CommandError as error:
            status = 503 if error.temporary else api.http_status(error.number)
            raise RequestError(status, error.code, error.message, temporary=error.temporary) from error
        return json_reply(Published())

    async def drain(self, call: Call[None, None]) -> HTTPResponse:
        node_id = call.path["id"]
        if node_id == self._cluster.holder:
            own = "This node's process is the registry's as well: stop the process itself."
            raise RequestError(409, "holds_registry", own)
        member = next((member for member in self._nodes.view.nodes if member.node_id == node_id), None)
        if member is None:
            raise RequestError(404, "unknown_node", "There is no node with this id: list the nodes to see them.")
        await self._audit.record(call.caller.actor, "node.drain", node_id)
        answers, _ = answers_of(await self._cluster.ask(wire.Drain(member.incarnation), node_id), wire.Done)
        if not answers:
            silent = f"Node {node_id} has not answered. It may be ending all the same: look at the list of nodes."
            raise RequestError(503, "incomplete", silent)
        return json_reply(NodeOrder(node=node_id, state="draining"), 202)


def _checked(data: Raw) -> Raw:
    """What is kept raw was not looked at by the decoder. Raises RequestError."""
    try:
        bytes(data).decode()
    except UnicodeDecodeError as error:
        raise RequestError(400, "bad_body", "The body is not JSON: it is not UTF-8.") from error
    return data
