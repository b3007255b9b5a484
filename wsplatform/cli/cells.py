"""Text in the cells of a terminal: wide letters take two, and what others have named cannot command it."""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    """With a mark in the place of what is no letter: control characters would be commands to the terminal."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def width(text: str) -> int:
    return len(text) if text.isascii() else sum(map(_cells, text))


def cut(text: str, columns: int) -> str:
    """`text`, or as much of it as fits with `…` after it."""
    if width(text) <= columns:
        return text
    kept, used = [], 1
    for letter in text:
        used += _cells(letter)
        if used > columns:
            break
        kept.append(letter)
    return "".join(kept) + "…" if columns > 0 else ""


def left(text: str, columns: int) -> str:
    return text + " " * (columns - width(text))


def right(text: str, columns: int) -> str:
    return " " * (columns - width(text)) + text


def _cells(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
