"""The server API's requests and replies: JSON in, typed request out; result in, JSON out.

Source: centrifugal.dev, docs/server/server_api.md, and the messages of internal/apiproto/api.proto in
centrifugal/centrifugo. A parameter that those have and this platform cannot honour is refused by name, unless its value
asks for nothing; a parameter that nobody knows is refused as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Raw

from wsplatform.errors import BAD_REQUEST, METHOD_NOT_FOUND, NOT_AVAILABLE, CommandError, RequestError
from wsplatform.model import Publication
from wsplatform.wire.payload import check_payload, one_line

MAX_COMMANDS = 1000
"""Commands in one batch."""

MAX_CHANNELS = 10_000
"""Channels in one broadcast, clients in one whitelist."""

MAX_REASON_BYTES = 123
"""What the close frame of a websocket has room for (RFC 6455, 5.5.1)."""

ERROR_MODE_HEADER = "x-centrifugo-error-mode"
"""With value `transport` the caller asks for the error as HTTP status and body instead of in a 200."""


class _Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`refused`: parameters that cannot be honoured, and why; with `null`, false, 0 or nothing as value they can be."""

    refused: ClassVar[Mapping[str, str]] = {}

    def check(self) -> None:
        """Raises CommandError for values that fit their types and still cannot be had."""
        for name, why in self.refused.items():
            if _asks_for_something(getattr(self, name)):
                raise CommandError(NOT_AVAILABLE, f"{name}: not available, {why}")


class _PublicationRequest(_Request, frozen=True, kw_only=True):
    """`skip_history` asks for what is so anyway: there is no history."""

    refused: ClassVar[Mapping[str, str]] = {
        "b64data": "publications are JSON: put it into data",
        "idempotency_key": "publications are not checked for repetition",
        "delta": "publications go out whole",
        "version": "channels keep no version",
        "version_epoch": "channels keep no version",
    }
    data: Raw = msgspec.field(default_factory=Raw)
    tags: dict[str, str] | None = None
    skip_history: bool | None = None
    b64data: str | None = None
    idempotency_key: str | None = None
    delta: bool | None = None
    version: int | None = None
    version_epoch: str | None = None

    def check(self) -> None:
        super().check()
        if not bytes(self.data):
            raise CommandError(BAD_REQUEST, "data: missing; any JSON will do")

    def publication(self) -> Publication:
        """With data on one line. Raises CommandError for data that not every subscriber could read."""
        data = bytes(self.data)
        check_payload(data)
        return Publication(Raw(one_line(data)), tags=self.tags or None)


class Publish(_PublicationRequest, frozen=True, kw_only=True):
    channel: str


class Broadcast(_PublicationRequest, frozen=True, kw_only=True):
    channels: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_CHANNELS)]


class _UserRequest(_Request, frozen=True, kw_only=True):
    """About the sessions of a user; with `client`, about the one session that has this id."""

    refused: ClassVar[Mapping[str, str]] = {"session": "a session is named by its client id: use client"}
    user: str
    client: str | None = None
    session: str | None = None

    def check(self) -> None:
        super().check()
        if not self.user and not self.client:
            raise CommandError(BAD_REQUEST, "user: empty, which means sessions without a user: say which by client")


class DisconnectAdvice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    code: Annotated[int, msgspec.Meta(ge=3000, le=4999)]
    reason: str = ""


class Disconnect(_UserRequest, frozen=True, kw_only=True):
    whitelist: Annotated[list[str], msgspec.Meta(max_length=MAX_CHANNELS)] | None = None
    disconnect: DisconnectAdvice | None = None

    def check(self) -> None:
        super().check()
        if self.disconnect and len(self.disconnect.reason.encode()) > MAX_REASON_BYTES:
            raise CommandError(BAD_REQUEST, f"disconnect.reason: more than {MAX_REASON_BYTES} bytes")


class Unsubscribe(_UserRequest, frozen=True, kw_only=True):
    channel: str


class BoolValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    value: bool = False


class Override(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    presence: BoolValue | None = None
    join_leave: BoolValue | None = None
    force_push_join_leave: BoolValue | None = None
    force_positioning: BoolValue | None = None
    force_recovery: BoolValue | None = None


class StreamPosition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    offset: int = 0
    epoch: str = ""


class Subscribe(_UserRequest, frozen=True, kw_only=True):
    refused: ClassVar[Mapping[str, str]] = {
        **_UserRequest.refused,
        "info": "subscriptions carry no information of their own",
        "b64info": "subscriptions carry no information of their own",
        "data": "the subscribe push carries no data",
        "b64data": "the subscribe push carries no data",
        "recover_since": "channels keep no history to recover from",
        "override": "channels have none of these options",
        "expire_at": "these subscriptions last until unsubscribe",
    }
    channel: str
    info: Raw = msgspec.field(default_factory=Raw)
    b64info: str | None = None
    data: Raw = msgspec.field(default_factory=Raw)
    b64data: str | None = None
    recover_since: StreamPosition | None = None
    override: Override | None = None
    expire_at: int | None = None


class Channels(_Request, frozen=True, kw_only=True):
    pattern: str | None = None


class Info(_Request, frozen=True, kw_only=True):
    pass


class Batch(_Request, frozen=True, kw_only=True):
    """`parallel` is accepted: commands are carried out in their order either way."""

    commands: Annotated[list[dict[str, Raw]], msgspec.Meta(max_length=MAX_COMMANDS)]
    parallel: bool | None = None


Command = Publish | Broadcast | Disconnect | Unsubscribe | Subscribe | Channels | Info
"""What can stand alone or in a batch."""

_DECODERS: Mapping[str, msgspec.json.Decoder[Any]] = {
    "publish": msgspec.json.Decoder(Publish),
    "broadcast": msgspec.json.Decoder(Broadcast),
    "disconnect": msgspec.json.Decoder(Disconnect),
    "unsubscribe": msgspec.json.Decoder(Unsubscribe),
    "subscribe": msgspec.json.Decoder(Subscribe),
    "channels": msgspec.json.Decoder(Channels),
    "info": msgspec.json.Decoder(Info),
    "batch": msgspec.json.Decoder(Batch),
}
UNKNOWN_METHOD = METHOD_NOT_FOUND.number
_ANYTHING = msgspec.json.Decoder(Raw)
METHODS = tuple(_DECODERS)
NOT_AVAILABLE_METHODS: Mapping[str, str] = {
    "presence": "who is on a channel is not kept",
    "presence_stats": "who is on a channel is not kept",
    "history": "channels keep no history",
    "history_remove": "channels keep no history",
    "refresh": "a client refreshes its connection itself, with a new token",
}


def decode(method: str, body: bytes) -> Command | Batch:
    """Raises RequestError 400 `malformed_json` when the body is no JSON in UTF-8; CommandError for the rest.

    METHOD_NOT_FOUND or NOT_AVAILABLE for the method, BAD_REQUEST or NOT_AVAILABLE for a parameter, which it names.
    """
    try:
        if not body.isascii():
            body.decode()  # what is kept raw is not checked by the decoder
        return _decode(method, body)
    except RecursionError:
        raise RequestError(400, "malformed_json", "The body is nested too deeply.") from None
    except UnicodeDecodeError as error:
        raise RequestError(400, "malformed_json", f"The body is not UTF-8 (byte {error.start}).") from None
    except msgspec.DecodeError as error:
        why = "it is empty, send {} at least" if not body else str(error).removeprefix("JSON is malformed: ")
        raise RequestError(400, "malformed_json", f"The body is not JSON: {why}.") from None


def decode_command(command: Mapping[str, Raw]) -> tuple[str, Command]:
    """One command of a batch: its method and request. A member that is `null` counts as absent. Raises CommandError."""
    present = [method for method, params in command.items() if bytes(params) != b"null"]
    if len(present) != 1:
        raise CommandError(BAD_REQUEST, 'A command has one member: {"<method>": {<parameters>}}.')
    method = present[0]
    request = _decode(method, command[method])
    if isinstance(request, Batch):
        raise CommandError(METHOD_NOT_FOUND, "A batch cannot hold another one.")
    return method, request


def _decode(method: str, body: bytes | Raw) -> Command | Batch:
    decoder = _DECODERS.get(method)
    if decoder is None:
        raise _no_method(method)
    try:
        request: Command | Batch = decoder.decode(body)
    except msgspec.ValidationError as error:
        _ANYTHING.decode(body)  # a fault of form comes first, wherever it is
        raise CommandError(BAD_REQUEST, _explain(error)) from None
    request.check()
    return request


def _no_method(method: str) -> CommandError:
    why = NOT_AVAILABLE_METHODS.get(method)
    if why is not None:
        return CommandError(NOT_AVAILABLE, f"Method {method} is not available: {why}.")
    return CommandError(METHOD_NOT_FOUND, f"There is no method {method[:64]!r}; there are {', '.join(METHODS)}.")


def _explain(error: msgspec.ValidationError) -> str:
    """`Expected `str`, got `int` - at `$.channel`` -> `channel: expected `str`, got `int``."""
    what, at, where = str(error).partition(" - at `$")
    text = what[:1].lower() + what[1:]
    where = where.rstrip("`").lstrip(".")
    return f"{where}: {text}" if at and where else text


def _asks_for_something(value: object) -> bool:
    if isinstance(value, Raw):
        return bytes(value) not in (b"", b"null")
    if isinstance(value, Override):
        return any(getattr(value, name) == BoolValue(value=True) for name in value.__struct_fields__)
    return bool(value)


class ErrorReply(msgspec.Struct, frozen=True):
    code: int
    message: str


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """Either of the two."""

    error: ErrorReply | None = None
    result: Any = None


class Done(msgspec.Struct, frozen=True):
    """The result of a command that has nothing to tell."""


class BroadcastResult(msgspec.Struct, frozen=True):
    """One response for each channel, in the order of the request."""

    responses: Sequence[Reply]


class ChannelInfo(msgspec.Struct, frozen=True):
    num_clients: int


class ChannelsResult(msgspec.Struct, frozen=True):
    channels: Mapping[str, ChannelInfo]


class NodeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """`uid` is of one run of the node `name`; `uptime` in seconds."""

    uid: str
    name: str
    version: str
    num_clients: int
    num_users: int
    num_subs: int
    num_channels: int
    uptime: int


class InfoResult(msgspec.Struct, frozen=True):
    nodes: Sequence[NodeInfo]


Result = Done | BroadcastResult | ChannelsResult | InfoResult

DONE = Reply(result=Done())
DONE_BODY = msgspec.json.encode(DONE)


def failure(error: CommandError) -> Reply:
    return Reply(error=ErrorReply(error.number, error.message))


def encode_reply(reply: Reply) -> bytes:
    return DONE_BODY if reply is DONE else msgspec.json.encode(reply)


def encode_error(error: ErrorReply) -> bytes:
    return msgspec.json.encode(error)


def encode_batch(replies: Sequence[tuple[str, Reply]]) -> bytes:
    """(method, reply) in the order of the commands; each becomes `{"<method>": result}` or `{"error": …}`."""
    bodies = [{method: reply.result} if reply.error is None else {"error": reply.error} for method, reply in replies]
    return msgspec.json.encode({"replies": bodies})


def http_status(number: int) -> int:
    """The status of an error for a caller who wants it as one (`ERROR_MODE_HEADER`)."""
    return {102: 404, 103: 403, 104: 404, 106: 413, 107: 400, 108: 400, 111: 429}.get(number, 500)
