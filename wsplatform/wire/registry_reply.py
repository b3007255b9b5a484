"""What a registry answers, read by a node that may be of an older release.

A rule may have options, and values of options, that this release does not know; a key may have such scopes. The node
goes on with what it knows, and where it cannot tell whom a rule admits, it admits nobody. Everything else that is new
in a reply is passed over as well. People, who may have mistyped a word, are answered strictly: see ChannelRule.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar, get_args

import msgspec

from wsplatform.model import ChannelRule, PublishRight, Scope, SubscribeRight

T = TypeVar("T")

_RULE_OPTIONS: Final = frozenset(ChannelRule.__struct_fields__)
_RIGHTS: Final = {"subscribe": get_args(SubscribeRight), "publish": get_args(PublishRight)}
_SCOPES: Final = get_args(Scope)


def read(reply: bytes, kind: type[T]) -> T:
    """A Registration or a HeartbeatReply, from MessagePack.

    Raises msgspec.MsgspecError, ValueError and RecursionError.
    """
    told = msgspec.msgpack.decode(reply)
    config = told.get("config") if isinstance(told, dict) else None
    if isinstance(config, dict):
        told["config"] = {**config, **_each(config, "rules", _rule), **_each(config, "keys", _key)}
    return msgspec.convert(told, kind)


def _each(config: dict[str, Any], name: str, known: Any) -> dict[str, Any]:
    items = config.get(name)
    if not isinstance(items, list):
        return {}
    return {name: [known(item) if isinstance(item, dict) else item for item in items]}


def _rule(told: dict[str, Any]) -> dict[str, Any]:
    rule = {option: value for option, value in told.items() if option in _RULE_OPTIONS}
    for right, known in _RIGHTS.items():
        if right in rule and rule[right] not in known:
            rule[right] = "nobody"
    return rule


def _key(told: dict[str, Any]) -> dict[str, Any]:
    scopes = told.get("scopes")
    if not isinstance(scopes, list):
        return told
    return {**told, "scopes": [scope for scope in scopes if scope in _SCOPES]}
