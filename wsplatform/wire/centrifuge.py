"""The Centrifuge client protocol, version 2, in JSON: frames in, commands out; replies and pushes in, lines out.

A text message holds one or more JSON objects, one a line. Specification: definitions/client.proto of
github.com/centrifugal/protocol; unknown members are ignored, as protobuf does. Publications must come on one line
(wire/payload.py); everything else is encoded here and has no line breaks.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Raw, UnsetType

from wsplatform.errors import CommandError, PlatformError, Unsubscribe
from wsplatform.model import ClientInfo, Publication
from wsplatform.wire.deflate import encode_message
from wsplatform.wire.rfc6455 import TEXT, encode_frame

PING = b"{}"
"""What the server sends now and then; a client answers with the same."""

MAX_TTL = 365 * 24 * 3600
"""Seconds; what SDKs make timers of has bounds."""


class MalformedFrame(PlatformError):
    """A message that is not of this protocol. `message` holds nothing of it."""

    def __init__(self, why: str) -> None:
        super().__init__("bad_request", why)


class _Struct(msgspec.Struct, gc=False):
    pass


class Connect(_Struct):
    token: str | None = None


class Subscribe(_Struct):
    channel: str = ""
    token: str | None = None
    recover: bool = False


class OfChannel(_Struct):
    channel: str = ""


class Publish(_Struct):
    channel: str = ""
    data: Raw | UnsetType = UNSET


class Refresh(_Struct):
    token: str | None = None


class SubRefresh(_Struct):
    channel: str = ""
    token: str | None = None


class Empty(_Struct):
    """Parameters that are not looked at."""


class Command(_Struct):
    """At most one of the methods counts: the first that is there. Without any and without id it is a pong."""

    id: Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)] = 0
    connect: Connect | None = None
    subscribe: Subscribe | None = None
    unsubscribe: OfChannel | None = None
    publish: Publish | None = None
    presence: OfChannel | None = None
    presence_stats: OfChannel | None = None
    history: OfChannel | None = None
    ping: Empty | None = None
    send: Empty | None = None
    rpc: Empty | None = None
    refresh: Refresh | None = None
    sub_refresh: SubRefresh | None = None

    @property
    def pong(self) -> bool:
        return not self.id and self == _PONG


_PONG = Command()
_decode = msgspec.json.Decoder(Command).decode_lines
_encode = msgspec.json.Encoder().encode


def decode(message: bytes) -> list[Command]:
    """The commands of one message, at least one. Raises MalformedFrame, and nothing else."""
    try:
        commands = _decode(message)
    except msgspec.ValidationError:
        raise MalformedFrame("a command has a member of the wrong type") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise MalformedFrame("a message is not JSON") from None
    except RecursionError:
        raise MalformedFrame("a message is nested too deeply") from None
    if not commands:
        raise MalformedFrame("a message is empty")
    return commands


class _Result(_Struct, omit_defaults=True):
    pass


class _Connected(_Result):
    client: str
    version: str
    ping: int
    pong: bool
    expires: bool = False
    ttl: int = 0


class _Subscribed(_Result):
    expires: bool = False
    ttl: int = 0
    was_recovering: bool = False


class _Refreshed(_Result):
    client: str = ""
    version: str = ""
    expires: bool = False
    ttl: int = 0


class _Error(_Result):
    code: int
    message: str
    temporary: bool = False


class _Reply(_Result):
    id: int
    error: _Error | None = None
    connect: _Connected | None = None
    subscribe: _Subscribed | None = None
    refresh: _Refreshed | None = None
    sub_refresh: _Refreshed | None = None


def done(command: int, method: str) -> bytes:
    """The reply to a command that has nothing to tell."""
    return b'{"id":%d,"%b":{}}' % (command, method.encode())


def published(command: int) -> bytes:
    return b'{"id":%d,"publish":{}}' % command


def failed(command: int, error: CommandError) -> bytes:
    return _encode(_Reply(command, error=_Error(error.number, error.message, error.temporary)))


def connected(command: int, client: str, version: str, ping: int, ttl: int | None) -> bytes:
    """ping: seconds between two pings, each to be answered. ttl: seconds until a new token is wanted; None: never."""
    expires, seconds = _expiry(ttl)
    return _encode(_Reply(command, connect=_Connected(client, version, ping, True, expires, seconds)))


def subscribed(command: int, ttl: int | None = None, *, recovering: bool = False) -> bytes:
    """recovering: the client asked for what it missed; the reply says that it does not get it."""
    if ttl is None and not recovering:
        return b'{"id":%d,"subscribe":{}}' % command
    return _encode(_Reply(command, subscribe=_Subscribed(*_expiry(ttl), recovering)))


def refreshed(command: int, client: str, version: str, ttl: int | None) -> bytes:
    return _encode(_Reply(command, refresh=_Refreshed(client, version, *_expiry(ttl))))


def sub_refreshed(command: int, ttl: int | None) -> bytes:
    return _encode(_Reply(command, sub_refresh=_Refreshed("", "", *_expiry(ttl))))


def _expiry(ttl: int | None) -> tuple[bool, int]:
    """`ttl` is left out when it is 0, and SDKs read it whenever `expires` is true."""
    return (False, 0) if ttl is None else (True, min(max(ttl, 1), MAX_TTL))


class _Pub(_Result):
    data: Raw
    info: ClientInfo | None = None
    tags: dict[str, str] | None = None


class _Unsubscribe(_Struct):
    code: int
    reason: str


class _Body(_Result):
    channel: str
    pub: _Pub | None = None
    subscribe: dict[str, str] | UnsetType = UNSET
    unsubscribe: _Unsubscribe | None = None


class _Push(_Struct):
    push: _Body


def push_publication(channel: str, publication: Publication) -> bytes:
    return _encode(_Push(_Body(channel, _Pub(publication.data, publication.info, publication.tags))))


def push_subscribed(channel: str) -> bytes:
    """The server subscribed the client."""
    return _encode(_Push(_Body(channel, subscribe={})))


def push_unsubscribed(channel: str, why: Unsubscribe) -> bytes:
    return _encode(_Push(_Body(channel, unsubscribe=_Unsubscribe(why.code, why.reason))))


class CentrifugeFormat:
    """Publications as frames for the clients of this protocol: one object for plain ones, one for compressed ones."""

    __slots__ = ("_frame",)

    def __init__(self, *, deflate: bool = False) -> None:
        self._frame = encode_message if deflate else encode_frame

    def publication(self, channel: str, publication: Publication) -> bytes:
        """One text frame. `publication.data`: JSON on one line."""
        return self._frame(TEXT, push_publication(channel, publication))
