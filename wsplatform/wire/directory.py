"""What nodes ask each other on behalf of the server API (msgpack): a question to each node, an answer from each."""

from __future__ import annotations

from typing import Annotated

import msgspec

from wsplatform.wire.questions import decode
from wsplatform.wire.server_api import NodeInfo


class ListChannels(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """`pattern`: see core/glob.py; empty: all channels."""

    pattern: str


class DescribeNode(msgspec.Struct, frozen=True, array_like=True, tag=2):
    pass


class EndSessions(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Of a user; with `client`, the one of this id; without those of the ids in `keep`. `code`: of the close frame."""

    user: str
    client: str
    keep: frozenset[str]
    code: Annotated[int, msgspec.Meta(ge=3000, le=4999)]
    reason: str


class EndSubscriptions(msgspec.Struct, frozen=True, array_like=True, tag=4):
    user: str
    client: str
    channel: str


class Subscribe(msgspec.Struct, frozen=True, array_like=True, tag=5):
    user: str
    client: str
    channel: str


Question = ListChannels | DescribeNode | EndSessions | EndSubscriptions | Subscribe


class Done(msgspec.Struct, frozen=True, array_like=True, tag=1):
    pass


class ChannelList(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Subscribers by channel."""

    counts: dict[str, int]


class Description(msgspec.Struct, frozen=True, array_like=True, tag=3):
    node: NodeInfo


class Failed(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """`number` of a CommandError."""

    number: int
    message: str


Answer = Done | ChannelList | Description | Failed

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
