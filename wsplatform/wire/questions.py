"""Reading what nodes ask each other and answer, whatever it is about (wire/directory.py, wire/inspect.py)."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from wsplatform.errors import PlatformError
from wsplatform.wire.cluster import UNDECODABLE

T = TypeVar("T")


class QuestionError(PlatformError):
    """Bytes that are no question or answer of this release."""

    def __init__(self) -> None:
        super().__init__("malformed_question", "A peer asked or answered what is not known here: run one release.")


def decode(decoder: msgspec.msgpack.Decoder[T], data: bytes) -> T:
    """Raises QuestionError."""
    try:
        return decoder.decode(data)
    except UNDECODABLE as error:
        raise QuestionError from error
