"""JSON that is passed on as it came: brought to one line once, by whoever accepts it."""

from __future__ import annotations

import msgspec

from wsplatform.errors import BAD_REQUEST, CommandError


def one_line(data: msgspec.Raw) -> msgspec.Raw:
    """`data` (checked JSON) without line breaks between its tokens, and without its hold on the message it was cut from.

    Pushes are joined by line feeds, so data with one in it would be cut in two by the client. Strings cannot hold one:
    JSON has it as an escape sequence only. Digits, escapes and the order of keys stay as they came.
    Raises CommandError BAD_REQUEST when it is nested too deeply.
    """
    text = bytes(data)
    if b"\n" in text or b"\r" in text:
        try:
            text = msgspec.json.format(text, indent=-1)
        except RecursionError:
            raise CommandError(BAD_REQUEST, "data: nested too deeply") from None
    return msgspec.Raw(text)
