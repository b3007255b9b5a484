"""Publications that can be told apart: the data that `wsplatform bench` publishes.

A JSON array: the run's id, the publisher, its number on the channel, the moment (microseconds since the run began),
and a string that fills it up.
"""

from __future__ import annotations

import msgspec

SMALLEST = 64
"""Bytes; what has to be in it always fits."""


class Numbered(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """`run`: up to 16 letters and digits. What follows `at` in the array is not decoded."""

    run: str
    publisher: int
    number: int
    at: int


def encode(publication: Numbered, size: int) -> bytes:
    """JSON of exactly `size` bytes, `SMALLEST` or more, as long as the numbers are those of any real run."""
    head = b'["%b",%d,%d,%d,"' % (
        publication.run.encode(),
        publication.publisher,
        publication.number,
        publication.at,
    )
    return head + b"x" * (size - len(head) - 2) + b'"]'
