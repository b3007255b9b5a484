"""Writes docs/commands.md, from the commands themselves:  python scripts/command_reference.py"""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click

from wsplatform.cli import root

PAGE = Path(__file__).parent.parent / "docs" / "commands.md"
_HEAD = """# Commands

Everything that `wsplatform` can do, as `--help` tells it. `scripts/command_reference.py` writes this page.

Results go to standard output, everything about them to standard error; an error is one line, `error: what to do
[code]`, and exit status 1. Commands with `--json` print what the [admin API](admin-api.md) says, on one line, and an
error as `{"error":{"code":…,"message":…}}`. Where a variable is named, it stands for the option. There is more on [exit
statuses](running.md#exit-status) and on [shell completion](running.md#shell-completion).
"""


def page() -> str:
    commands = [text for name in root.list_commands(_context(root)) for text in _described(name)]
    return "\n".join([_HEAD, *commands])


def _described(name: str) -> Iterator[str]:
    command = root.get_command(_context(root), name)
    assert command is not None
    yield f"## {name}\n"
    yield _body(command, f"wsplatform {name}")
    if isinstance(command, click.Group):
        for inner in command.list_commands(_context(command)):
            below = command.get_command(_context(command), inner)
            assert below is not None
            yield f"### {name} {inner}\n"
            yield _body(below, f"wsplatform {name} {inner}")


def _body(command: click.Command, name: str) -> str:
    context = click.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    parts = [f"`{usage}`\n", *_paragraphs(command.help or "")]
    if rows := list(_options(command, context)):
        parts.append("\n".join(["| option | |", "|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def _paragraphs(text: str) -> Iterator[str]:
    """The help: paragraphs as they are, those that click must not wrap (after a \\b) as blocks."""
    for paragraph in cleandoc(text).split("\n\n"):
        if not paragraph.startswith("\b"):
            yield _escaped(" ".join(line.strip() for line in paragraph.splitlines())) + "\n"
            continue
        title, *lines = paragraph.removeprefix("\b").strip("\n").splitlines()
        kind = "sh no-run: examples, whose options a test looks at" if title.startswith("Example") else "text"
        dedented = [line.removeprefix("  ") for line in lines]
        yield f"{title.strip()}\n\n" + "\n".join([f"```{kind}", *dedented, "```"]) + "\n"


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and "--help" not in record[0]:
            name = record[0].replace("|", "/")  # a bar would end the cell
            name = re.sub(r"(INTEGER|FLOAT)( RANGE)?$", "N", name)
            yield f"| `{name}` | {_escaped(record[1])} |"


def _escaped(text: str) -> str:
    return re.sub(r"([|*\[\]])", r"\\\1", " ".join(text.split()))


def _context(command: click.Command) -> click.Context:
    return click.Context(command, info_name="wsplatform")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
