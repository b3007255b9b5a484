"""The patterns of the server API's `channels`: a glob over whole names, with no separators.

`*` and `**` stand for any characters, `?` for one, `[a-z]` and `[!a-z]` for one of a class or none of it, `{a,b}` for
either, and `\\` takes the next character as it is. Syntax: the package documentation of github.com/gobwas/glob.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from wsplatform.errors import BAD_REQUEST, CommandError

MAX_LENGTH = 255
MAX_VARIANTS = 32
"""Ways to choose among the braces, all together."""

MAX_COST = 1024
"""Comparisons with one place in a name, of all of them together."""

_STAR = ""
Tokens = tuple[str, ...]
"""One regular expression for one character each, or _STAR."""


class Glob:
    """Raises CommandError BAD_REQUEST for a pattern that cannot be read.

    Time to match is bounded by the product of MAX_COST and the length of the name.
    """

    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise _bad(f"more than {MAX_LENGTH} characters")
        parser = _Parser(text)
        variants = parser.sequence()
        if parser.more:
            raise _bad(f"unexpected {parser.peek()!r}")
        if sum(_cost(token) for tokens in variants for token in tokens) > MAX_COST:
            raise _bad("its alternatives are too long, all together")
        self._match = re.compile("|".join(map(_expression, variants)), re.DOTALL).fullmatch

    def matches(self, name: str) -> bool:
        return self._match(name) is not None


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    @property
    def more(self) -> bool:
        return self._at < len(self._text)

    def peek(self) -> str:
        return self._text[self._at]

    def _next_is(self, character: str) -> bool:
        return self._text.startswith(character, self._at)

    def take(self) -> str:
        if not self.more:
            raise _bad("it ends too early")
        self._at += 1
        return self._text[self._at - 1]

    def sequence(self, inside: bool = False) -> list[Tokens]:
        """Up to the end, or inside braces up to `,` or `}`."""
        variants: list[Tokens] = [()]
        while self.more and not self._next_is("}") and not (inside and self._next_is(",")):
            term = self._term(inside)
            variants = [left + right for left in variants for right in term]
            if len(variants) > MAX_VARIANTS:
                raise _bad(f"more than {MAX_VARIANTS} alternatives")
        return variants

    def _term(self, inside: bool) -> list[Tokens]:
        character = self.take()
        if character == "*":
            return [(_STAR,)]
        if character == "?":
            return [(".",)]
        if character == "[":
            return [(self._class(),)]
        if character == "{":
            if inside:
                raise _bad("braces inside braces")
            return list(self._alternatives())
        return [(re.escape(self.take() if character == "\\" else character),)]

    def _alternatives(self) -> Iterator[Tokens]:
        while True:
            yield from self.sequence(inside=True)
            if self.take() == "}":
                return

    def _class(self) -> str:
        negated = self._next_is("!")
        if negated:
            self.take()
        ranges = []
        while self.more and not self._next_is("]"):
            low = high = self._member()
            if self._next_is("-"):
                self.take()
                high = self._member()
            if low > high:
                raise _bad(f"range {low}-{high} is empty")
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
        self.take()
        if not ranges:
            raise _bad("a class is empty")
        return f"[{'^' if negated else ''}{''.join(ranges)}]"

    def _member(self) -> str:
        character = self.take()
        return self.take() if character == "\\" else character


def _expression(tokens: Tokens) -> str:
    """Each piece between two stars takes the leftmost place that it can, for good: that leaves the most room."""
    first, *rest = ("".join(piece) for piece in _pieces(tokens))
    if not rest:
        return f"(?:{first})"
    inner = "".join(f"(?>.*?{piece})" for piece in rest[:-1] if piece)
    return f"(?:{first}{inner}.*{rest[-1]})"


def _cost(token: str) -> int:
    """A class may have to be looked through: each of its ranges has three characters or more."""
    return max(1, len(token) // 3)


def _pieces(tokens: Tokens) -> list[list[str]]:
    pieces: list[list[str]] = [[]]
    for token in tokens:
        if token == _STAR:
            pieces.append([])
        else:
            pieces[-1].append(token)
    return pieces


def _bad(why: str) -> CommandError:
    return CommandError(BAD_REQUEST, f"pattern: {why}")
