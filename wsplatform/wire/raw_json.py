"""JSON that is passed on as it came: brought to one line and checked once, by whoever accepts it.

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


def one_line(data: msgspec.Raw) -> msgspec.Raw:
    """`data` (checked JSON) without line breaks between its tokens, and without its hold on the message it was cut from.

    Pushes are joined by line feeds, so data with one in it would be cut in two by the client. Strings cannot hold one:
    JSON has it as an escape sequence only. Digits, escapes and the order of keys stay as they came.
    Raises CommandError BAD_REQUEST when not every subscriber could read it.
    """
    text = bytes(data)
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and _too_deep(text):
        raise CommandError(BAD_REQUEST, f"data: nested deeper than {MAX_DEPTH} levels")
    if len(text) > MAX_DIGITS and _DIGITS.search(text) and _DIGITS.search(_STRING.sub(b'""', text)):
        raise CommandError(BAD_REQUEST, f"data: a number of more than {MAX_DIGITS} digits")
    if b"\n" in text or b"\r" in text:
        text = msgspec.json.format(text, indent=-1)
    return msgspec.Raw(text)


def _too_deep(text: bytes) -> bool:
    rest = _STRING.sub(b"", text).translate(_BRACKETS, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):  # each round takes away the innermost level
        if not rest:
            return False
        rest = rest.replace(b"[]", b"")
    return bool(rest)
