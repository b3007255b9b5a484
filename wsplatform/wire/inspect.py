"""What the admin API asks and orders of each node (msgpack): a question to a node, an answer from it."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from wsplatform.wire.questions import decode

METHOD: Final = "inspect"
"""The name under which nodes are asked."""

MAX_ITEMS: Final = 1000
_Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_ITEMS)]


class ListChannels(msgspec.Struct, frozen=True, array_like=True, tag=1, kw_only=True):
    """Those that have subscribers, by name: the first `limit` after `after` that hold `contains` and match `pattern`
    (core/glob.py; empty: all)."""

    contains: str = ""
    pattern: str = ""
    after: str = ""
    limit: _Limit = MAX_ITEMS


class CountSubscribers(msgspec.Struct, frozen=True, array_like=True, tag=2):
    channel: str


class ListSessions(msgspec.Struct, frozen=True, array_like=True, tag=3, kw_only=True):
    """By id: the first `limit` after `after`.

    user: None: of any; channel: that are on it; contains: in their id, their user or their address. Empty: all.
    slow: only those for which data waits.
    """

    user: str | None = None
    channel: str = ""
    contains: str = ""
    after: str = ""
    limit: _Limit = MAX_ITEMS
    slow: bool = False


class DescribeSession(msgspec.Struct, frozen=True, array_like=True, tag=4):
    id: str


class EndSession(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """`code`: of the close frame."""

    id: str
    code: Annotated[int, msgspec.Meta(ge=3000, le=4999)]
    reason: str


class Drain(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """The orderly end of this run of a node."""

    incarnation: str


class PublishHere(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """For the whole cluster, as if a backend had asked this node. `data`: JSON as wire/payload.py wants it."""

    channel: str
    data: bytes
    tags: dict[str, str] | None = None


Question = ListChannels | CountSubscribers | ListSessions | DescribeSession | EndSession | Drain | PublishHere


class Done(msgspec.Struct, frozen=True, array_like=True, tag=1):
    pass


class Unknown(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """What the question names is not here."""


class Failed(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """`number` of a CommandError."""

    number: int
    message: str


class ChannelPage(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """By name, with the number of subscribers. upto: the page is whole up to this name; None: to the end."""

    channels: tuple[tuple[str, int], ...]
    upto: str | None


class Subscribers(msgspec.Struct, frozen=True, array_like=True, tag=5):
    count: int


class SessionItem(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """connected_at: seconds since 1970. subscriptions: how many. waiting_bytes: what its client has not read yet."""

    id: str
    user: str
    address: str
    connected_at: float
    subscriptions: int
    protocol: str
    waiting_bytes: int = 0


class SessionPage(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """By id. upto: as in ChannelPage."""

    sessions: tuple[SessionItem, ...]
    upto: str | None


class SessionDetails(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """channels: the first by name, as many as fit. info: JSON of the token. expires_at: seconds since 1970."""

    session: SessionItem
    channels: tuple[str, ...]
    info: bytes | None
    expires_at: float | None


Answer = Done | Unknown | Failed | ChannelPage | Subscribers | SessionPage | SessionDetails

_encoder = msgspec.msgpack.Encoder()
_questions: msgspec.msgpack.Decoder[Question] = msgspec.msgpack.Decoder(Question)
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)

encode = _encoder.encode
"""Question or Answer -> bytes."""


def decode_question(data: bytes) -> Question:
    """Raises QuestionError."""
    return decode(_questions, data)


def decode_answer(data: bytes) -> Answer:
    """Raises QuestionError."""
    return decode(_answers, data)
