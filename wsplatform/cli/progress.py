"""How a long command goes, on standard error: one line drawn again and again on a terminal, else lines."""

from __future__ import annotations

import os
import sys
import time
from typing import Self

_REDRAWN_SECONDS = 0.25
_PLAIN_SECONDS = 5.0
_CLEAR = "\r\x1b[K"


class Display:
    """`with Display() as display`: at the end a terminal's line is cleared.

    interval: seconds between two calls of `show`; 0: there is nothing to show.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._terminal = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.interval = 0.0 if quiet else _REDRAWN_SECONDS if self._terminal else _PLAIN_SECONDS
        self._told = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal and self.interval:
            self._write(_CLEAR)

    def tell(self, line: str) -> None:
        """`show`, unless something was told just before, or the command has only begun."""
        now = time.monotonic()
        if self.interval and now - self._told >= self.interval:
            self._told = now
            self.show(line)

    def show(self, line: str) -> None:
        if self._terminal:
            columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            self._write(_CLEAR + line[: columns - 1])
        else:
            self._write(line + "\n")

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
