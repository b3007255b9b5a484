"""The channels that have subscribers, of the whole cluster."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from sanic import HTTPResponse

from wsplatform.core.channels import RuleBook, valid_channel
from wsplatform.core.glob import MAX_LENGTH, Glob
from wsplatform.core.merge import Page, merge
from wsplatform.errors import CommandError, RequestError
from wsplatform.model import RESERVED_PREFIX, ChannelRule
from wsplatform.web.admin.cluster import Cluster, answers_of
from wsplatform.web.admin.requests import next_cursor, place_of
from wsplatform.web.admin.routes import Call, Parameter, Reply, Route, json_reply
from wsplatform.web.admin.rules import Rules
from wsplatform.web.admin.types import MAX_TEXT, PageQuery
from wsplatform.wire import inspect as wire


class ChannelsQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    contains: Annotated[str, msgspec.Meta(max_length=MAX_TEXT, description="A part of the name.")] = ""
    pattern: Annotated[
        str, msgspec.Meta(max_length=MAX_LENGTH, description="A glob that the name matches, as in the server API.")
    ] = ""


class ChannelItem(msgspec.Struct, frozen=True, kw_only=True):
    """subscribers: in the whole cluster; nodes: how many of them are on which."""

    channel: str
    subscribers: int
    nodes: dict[str, int]


class ChannelPage(msgspec.Struct, frozen=True, kw_only=True):
    """next: cursor of the next page, null at the end; a page may be short all the same. missing: nodes that did not
    answer in time, or not as they should, whose subscribers are not counted."""

    items: list[ChannelItem]
    next: str | None
    missing: list[str]


class ChannelState(ChannelItem, frozen=True, kw_only=True):
    """A channel, whether it has subscribers or not. rule: the one that holds for it, null when none does; fallback: it
    is the settings' registry.fallback_rule. missing: nodes that did not answer in time."""

    rule: ChannelRule | None
    fallback: bool
    missing: list[str]


CHANNEL: Final = (Parameter("channel", "The name of the channel, percent-encoded, its slashes as well."),)


def channel_routes(cluster: Cluster, rules: Rules) -> tuple[Route[Any, Any], ...]:
    area = _Channels(cluster, rules)
    return (
        Route(
            "GET",
            "/channels",
            "list_channels",
            area.page,
            "The channels that have subscribers",
            {200: Reply("By name.", ChannelPage)},
            query=ChannelsQuery,
            refusals=(503,),
        ),
        Route(
            "GET",
            "/channels/{channel}",
            "get_channel",
            area.one,
            "One channel, with its rule",
            {200: Reply("The channel.", ChannelState)},
            refusals=(403, 503),
            parameters=CHANNEL,
        ),
    )


def check_channel(channel: str) -> None:
    """Raises RequestError for what cannot be a channel of users."""
    if not valid_channel(channel):
        raise RequestError(400, "invalid_channel", "No channel can have this name.")
    if channel.startswith(RESERVED_PREFIX):
        own = f"Channels that begin with {RESERVED_PREFIX} are the platform's own."
        raise RequestError(403, "reserved_channel", own)


class _Channels:
    def __init__(self, cluster: Cluster, rules: Rules) -> None:
        self._cluster = cluster
        self._rules = rules

    async def page(self, call: Call[ChannelsQuery, None]) -> HTTPResponse:
        asked = call.query
        _check_pattern(asked.pattern)
        after = place_of(asked.cursor, str) if asked.cursor else ""
        question = wire.ListChannels(contains=asked.contains, pattern=asked.pattern, after=after, limit=asked.limit)
        answers, missing = answers_of(await self._cluster.ask(question), wire.ChannelPage)
        pages = {node_id: Page(answer.channels, answer.upto) for node_id, answer in answers.items()}
        merged = merge(pages, after, asked.limit)
        items = [_item(name, counts) for name, counts in merged.found.items()]
        return json_reply(
            ChannelPage(items=items, next=next_cursor(merged), missing=sorted({*missing, *merged.faulty}))
        )

    async def one(self, call: Call[None, None]) -> HTTPResponse:
        channel = call.path["channel"]
        check_channel(channel)
        found = await self._cluster.ask(wire.CountSubscribers(channel))
        answers, missing = answers_of(found, wire.Subscribers)
        nodes = {node_id: answer.count for node_id, answer in sorted(answers.items()) if answer.count}
        rule = RuleBook(self._rules.config.rules).match(channel)
        state = ChannelState(
            channel=channel,
            subscribers=sum(nodes.values()),
            nodes=nodes,
            rule=rule,
            fallback=rule is not None and rule not in self._rules.rules(),
            missing=missing,
        )
        return json_reply(state)


def _item(channel: str, nodes: dict[str, int]) -> ChannelItem:
    return ChannelItem(channel=channel, subscribers=sum(nodes.values()), nodes=dict(sorted(nodes.items())))


def _check_pattern(pattern: str) -> None:
    try:
        Glob(pattern)
    except CommandError as error:
        raise RequestError(400, "bad_pattern", f"The query cannot be used: {error.message}.") from error
