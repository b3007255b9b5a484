"""Channel rules: list, try, set, delete."""

from __future__ import annotations

from typing import Annotated, Any, Final, Protocol

import msgspec
from sanic import HTTPResponse

from wsplatform.core.channels import RuleBook, valid_channel
from wsplatform.errors import RequestError
from wsplatform.model import ChannelRule, ClusterConfig
from wsplatform.registry.records import Actor
from wsplatform.web.admin.requests import page
from wsplatform.web.admin.routes import Call, Parameter, Reply, Route, empty_reply, json_reply
from wsplatform.web.admin.types import MAX_TEXT, PageQuery


class Rules(Protocol):
    """registry/configuration.py: Configuration."""

    @property
    def config(self) -> ClusterConfig: ...

    def rules(self) -> tuple[ChannelRule, ...]: ...

    async def set_rule(self, rule: ChannelRule, by: Actor) -> bool: ...

    async def delete_rule(self, pattern: str, by: Actor) -> None: ...


class RuleQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    contains: Annotated[str, msgspec.Meta(max_length=MAX_TEXT, description="A part of the pattern.")] = ""


class ChannelQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    channel: Annotated[str, msgspec.Meta(max_length=MAX_TEXT, description="The name of a channel.")]


class RuleOptions(ChannelRule, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """As ChannelRule. pattern: that of the path, or left out."""

    pattern: str = ""


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


_PATTERN: Final = (Parameter("pattern", "The rule's pattern, percent-encoded.", rest=True),)
_RULE: Final = Reply("The rule as it is now.", ChannelRule)


def rule_routes(rules: Rules) -> tuple[Route[Any, Any], ...]:
    area = _Rules(rules)
    return (
        Route(
            "GET",
            "/rules",
            "list_rules",
            area.page,
            "The channel rules",
            {200: Reply("By pattern.", RulePage)},
            query=RuleQuery,
        ),
        Route(
            "GET",
            "/rules/test",
            "test_rules",
            area.test,
            "The rule that holds for a channel",
            {200: Reply("The rule, or null.", RuleMatch)},
            query=ChannelQuery,
        ),
        Route(
            "PUT",
            "/rules/{pattern}",
            "set_rule",
            area.put,
            "Make or replace a rule",
            {200: _RULE, 201: _RULE},
            body=RuleOptions,
            refusals=(409, 503),
            parameters=_PATTERN,
        ),
        Route(
            "DELETE",
            "/rules/{pattern}",
            "delete_rule",
            area.delete,
            "Delete a rule",
            {204: Reply("It is gone.")},
            refusals=(404, 503),
            parameters=_PATTERN,
        ),
    )


class _Rules:
    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    async def page(self, call: Call[RuleQuery, None]) -> HTTPResponse:
        wanted = (rule for rule in self._rules.rules() if call.query.contains in rule.pattern)
        items, following = page(wanted, lambda rule: rule.pattern, str, call.query)
        return json_reply(RulePage(config=self._rules.config.version, items=items, next=following))

    async def test(self, call: Call[ChannelQuery, None]) -> HTTPResponse:
        channel = call.query.channel
        if not valid_channel(channel):
            raise RequestError(400, "invalid_channel", "No channel can have this name.")
        rule = RuleBook(self._rules.config.rules).match(channel)
        fallback = rule is not None and rule not in self._rules.rules()
        return json_reply(RuleMatch(channel=channel, rule=rule, fallback=fallback))

    async def put(self, call: Call[None, RuleOptions]) -> HTTPResponse:
        pattern = call.path["pattern"]
        if call.body.pattern not in ("", pattern):
            raise RequestError(400, "bad_body", "The pattern in the body is another one than in the path.")
        rule = ChannelRule(**{**msgspec.structs.asdict(call.body), "pattern": pattern})
        new = await self._rules.set_rule(rule, call.caller.actor)
        return json_reply(rule, 201 if new else 200)

    async def delete(self, call: Call[None, None]) -> HTTPResponse:
        await self._rules.delete_rule(call.path["pattern"], call.caller.actor)
        return empty_reply()
