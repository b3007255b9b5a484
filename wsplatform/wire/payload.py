"""What may be published: JSON that every subscriber's parser takes, whoever sent it.

A subscriber's SDK that fails on a message may drop its connection, so what one parser takes and another does not is
refused at the door: deep nesting (System.Text.Json stops at 64 levels, Python's json near 1,000) and numbers of
thousands of digits (Python's int stops at 4,300).
"""

from __future__ import annotations

import re

import msgspec

from wsplatform.errors import BAD_REQUEST, CommandError

MAX_DEPTH = 60
"""Levels of arrays and objects; the messages that carry it add up to four."""

MAX_DIGITS = 1000
"""Digits in a row, in a number."""

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_DIGITS = re.compile(rb"(?<![0-9])[0-9]{%d}" % (MAX_DIGITS + 1))
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def check_payload(data: bytes) -> None:
    """`data`: valid JSON in UTF-8. Raises CommandError BAD_REQUEST when not every subscriber could read it."""
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _too_deep(data):
        raise CommandError(BAD_REQUEST, f"data is nested deeper than {MAX_DEPTH} levels")
    if len(data) > MAX_DIGITS and _DIGITS.search(data) and _DIGITS.search(_STRING.sub(b'""', data)):
        raise CommandError(BAD_REQUEST, f"data has a number of more than {MAX_DIGITS} digits")


def one_line(data: bytes) -> bytes:
    """The same JSON without line breaks, for formats that put one between messages."""
    if b"\n" in data or b"\r" in data:
        return msgspec.json.format(data, indent=-1)
    return data


def _too_deep(data: bytes) -> bool:
    rest = _STRING.sub(b"", data).translate(_BRACKETS, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):  # each round takes away the innermost level
        if not rest:
            return False
        rest = rest.replace(b"[]", b"")
    return bool(rest)
