"""What commands say of themselves: the page that is made of it, and their examples."""

from __future__ import annotations

import inspect
import re
import shlex

import click
import pytest

from tests.support.documents import script
from wsplatform.cli import root


def _commands() -> dict[str, click.Command]:
    """Every command, and those below it, by its words."""
    found: dict[str, click.Command] = {}
    context = click.Context(root)
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        assert command is not None
        found[name] = command
        if isinstance(command, click.Group):
            found |= {f"{name} {inner}": below for inner, below in command.commands.items()}
    return found


COMMANDS = _commands()


def test_the_page_of_commands_is_as_the_commands_are() -> None:
    writer = script("command_reference")
    page = writer.page()
    assert writer.PAGE.read_text(encoding="utf-8") == page, "run: python scripts/command_reference.py"
    assert set(re.findall(r"^##+ (.*)$", page, re.MULTILINE)) == {*COMMANDS}


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if not isinstance(command, click.Group)])
def test_a_command_has_examples_that_it_understands(name: str) -> None:
    help_ = inspect.cleandoc(COMMANDS[name].help or "")
    _, _, block = help_.partition("\b\nExample")
    examples = [line for line in block.splitlines()[1:] if line.strip()]
    assert examples
    for line in examples:
        words = shlex.split(re.sub(r"^tail -f \S+ \| ", "", line).partition(" > ")[0])
        begin = words.index("wsplatform")
        named = ["wsplatform", *name.split()]
        assert words[begin : begin + len(named)] == named, line
        COMMANDS[name].make_context("wsplatform", words[begin + len(named) :])
