"""What commands print: results on standard output, everything about them on standard error."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from wsplatform.cli.cells import left, printable, width

CLOSED_PIPE = 128 + 13
"""The exit status of a program that SIGPIPE ended, as shells know it: `wsplatform subscribe news | head -1`."""

_COMMANDS = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}
"""Control characters that JSON may hold as they are, but that a terminal obeys: only strings can hold them."""


def line(text: str) -> None:
    """One line on standard output, at once. Ends the command quietly when nobody reads any more."""
    try:
        click.echo(text)
    except OSError as error:
        if error.errno != errno.EPIPE:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
        raise click.exceptions.Exit(CLOSED_PIPE) from error


def as_json(value: Any) -> None:
    """One line of JSON on standard output."""
    line(_json(value))


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns for people, as wide as they need to be."""
    cells = [[*head], *([printable(str(cell)) for cell in row] for row in rows)]
    widths = [max(width(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        line("  ".join(left(cell, columns) for cell, columns in zip(row, widths, strict=True)).rstrip())


def pairs(rows: Sequence[tuple[str, object]]) -> None:
    """A thing with its properties, for people."""
    longest = max(len(name) for name, _ in rows)
    for name, value in rows:
        line(f"{name:<{longest}}  {printable(str(value))}")


def listing(items: Sequence[Any], more: bool, missing: Sequence[str] | None = None) -> None:
    """Part of a list as JSON. missing: nodes that did not answer, where nodes were asked."""
    as_json({"items": items, "more": more} | ({} if missing is None else {"missing": missing}))


def short(count: int, more: bool, missing: Sequence[str] = ()) -> None:
    """Says what a list for people is without."""
    if more:
        note(f"only the first {count:,}: --limit N shows more, --limit 0 all")
    incomplete(missing)


def incomplete(missing: Sequence[str]) -> None:
    """Says which nodes a result is without, if any."""
    if missing:
        note(f"incomplete: no answer in time from {printable(', '.join(missing))}")


def note(text: str) -> None:
    """Something to know, on standard error."""
    click.echo(text, err=True)


def fail(message: str, code: str, *, as_json: bool = False) -> None:
    """An error, as one line on standard error."""
    text = printable(" ".join(message.split()))
    click.echo(_json({"error": {"code": code, "message": text}}) if as_json else f"error: {text} [{code}]", err=True)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_COMMANDS)
