"""The whole terminal, for a command that is looked at: borrowed, and given back whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

from wsplatform.cli.top_frame import Line, Size, Tone

_ENTER: Final = "\x1b[?1049h\x1b[?25l"  # another screen, no cursor (xterm's control sequences)
_LEAVE: Final = "\x1b[?25h\x1b[?1049l"
_HOME, _REST_OF_LINE, _REST = "\x1b[H", "\x1b[K", "\x1b[J"
_TONES: Final[dict[Tone, str]] = {"plain": "", "strong": "\x1b[1m", "head": "\x1b[7m", "bad": "\x1b[31m"}
_ENDS: Final = (signal.SIGTERM, signal.SIGHUP)


def usable() -> bool:
    """Whether standard output is a terminal that can be drawn on."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


class Screen:
    """`with Screen(pressed, changed, ended) as screen`, in a running loop.

    pressed: told of each key; changed: called when all has to be drawn again; ended: told of the exit status when
    SIGTERM or SIGHUP comes.
    """

    def __init__(
        self, pressed: Callable[[str], None], changed: Callable[[], None], ended: Callable[[int], None]
    ) -> None:
        self._pressed = pressed
        self._changed = changed
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._colours = not os.environ.get("NO_COLOR")
        self._input = sys.stdin.fileno() if sys.stdin.isatty() else None
        self._modes: list[Any] | None = None

    def __enter__(self) -> Self:
        for number in _ENDS:
            self._loop.add_signal_handler(number, self._ended, 128 + number)
        self._loop.add_signal_handler(signal.SIGWINCH, self._changed)
        self._loop.add_signal_handler(signal.SIGTSTP, self._pause)
        if self._input is not None:
            self._loop.add_reader(self._input, self._read, self._input)
        try:
            self._borrow()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()
        if self._input is not None:
            self._loop.remove_reader(self._input)
        for number in (*_ENDS, signal.SIGWINCH, signal.SIGTSTP):
            self._loop.remove_signal_handler(number)

    @property
    def size(self) -> Size:
        found = os.get_terminal_size(sys.stdout.fileno())
        return Size(found.columns or 80, found.lines or 24)

    def draw(self, lines: Sequence[Line]) -> None:
        text = (_REST_OF_LINE + "\n").join(self._styled(line) for line in lines)
        self._write(f"{_HOME}{text}{_REST_OF_LINE}{_REST if len(lines) < self.size.rows else ''}")

    def _styled(self, line: Line) -> str:
        tone = _TONES[line.tone] if self._colours or line.tone != "bad" else ""
        return f"{tone}{line.text}\x1b[m" if tone else line.text

    def _borrow(self) -> None:
        if self._input is not None:
            self._modes = termios.tcgetattr(self._input)
            tty.setcbreak(self._input)
        self._write(_ENTER)

    def _give_back(self) -> None:
        with contextlib.suppress(OSError):  # the terminal is gone
            self._write(_LEAVE)
        if self._input is not None and self._modes is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._input, termios.TCSADRAIN, self._modes)
            self._modes = None

    def _pause(self) -> None:
        """Ctrl-Z: the shell gets its terminal as it was."""
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._borrow()
        self._changed()

    def _read(self, source: int) -> None:
        try:
            text = os.read(source, 64).decode(errors="replace")
        except OSError:
            text = ""
        if not text:
            self._loop.remove_reader(source)
        elif not text.startswith("\x1b"):  # arrows and their kind
            for key in text:
                self._pressed(key)

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
