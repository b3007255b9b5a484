"""Channel names, patterns, and which rule holds for a name.

A name has 1 to 255 bytes of UTF-8, neither begins nor ends with white space, and holds no control character, no line or
paragraph separator and no `*`. A pattern is a name in which `*` stands for any characters, none included. Names that
begin with `$` are the platform's own: no pattern and no rule reaches them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from wsplatform.errors import PlatformError
from wsplatform.model import RESERVED_PREFIX, ChannelRule

MAX_BYTES = 255
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def valid_channel(name: str) -> bool:
    """Whether `name` can be a channel, the platform's own included."""
    return "*" not in name and not _fault(name)


def check_pattern(pattern: str) -> None:
    """Raises PlatformError `invalid_pattern` when `pattern` is neither a channel name nor a pattern of names."""
    fault = _fault(pattern)
    if not fault and pattern.startswith(RESERVED_PREFIX):
        fault = f"begins with {RESERVED_PREFIX}, which is kept for the platform's own channels"
    if not fault and "**" in pattern:
        fault = "has ** in it, which means no more than one *"
    if fault:
        raise PlatformError("invalid_pattern", f"Channel pattern {pattern[:80]!r} {fault}.")


class Pattern:
    """One pattern, ready to match. Time to match is bounded by the product of two lengths of at most 255."""

    __slots__ = ("_head", "_inner", "_least", "_tail", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        parts = text.split("*")
        self._head = parts[0]
        self._inner = tuple(parts[1:-1])
        self._tail = parts[-1] if len(parts) > 1 else None
        self._least = len(text) - text.count("*")

    def matches(self, name: str) -> bool:
        if self._tail is None:
            return name == self.text
        if len(name) < self._least or not name.startswith(self._head) or not name.endswith(self._tail):
            return False
        start = len(self._head)
        end = len(name) - len(self._tail)
        for part in self._inner:  # the leftmost place for each part leaves the most room for the rest
            found = name.find(part, start, end)
            if found < 0:
                return False
            start = found + len(part)
        return True

    @property
    def order(self) -> tuple[bool, int, int, str]:
        """Sorts the most specific first: a name, then more literal characters, then fewer stars, then by text."""
        return (self._tail is not None, -self._least, self.text.count("*"), self.text)


class RuleBook:
    """The rules of a cluster, asked for the one that holds for a channel. Of two for one pattern the last wins."""

    def __init__(self, rules: Iterable[ChannelRule]) -> None:
        by_text = {rule.pattern: rule for rule in rules}
        self._exact = {text: rule for text, rule in by_text.items() if "*" not in text}
        patterns = sorted((Pattern(text) for text in by_text if "*" in text), key=lambda pattern: pattern.order)
        self._patterns = tuple((pattern, by_text[pattern.text]) for pattern in patterns)

    def match(self, channel: str) -> ChannelRule | None:
        """The most specific rule for a valid channel name; None when no rule admits it."""
        if channel.startswith(RESERVED_PREFIX):
            return None
        exact = self._exact.get(channel)
        if exact is not None:
            return exact
        for pattern, rule in self._patterns:
            if pattern.matches(channel):
                return rule
        return None

    def __len__(self) -> int:
        return len(self._exact) + len(self._patterns)


def _fault(text: str) -> str:
    """Why `text` is neither a name nor a pattern; empty: it is."""
    if not text:
        return "is empty"
    if _FORBIDDEN.search(text):
        return "holds a control character or a line separator"
    if len(text) > MAX_BYTES or len(text.encode()) > MAX_BYTES:
        return f"has more than {MAX_BYTES} bytes"
    if text != text.strip():
        return "begins or ends with white space"
    return ""
