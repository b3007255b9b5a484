"""What commands print obeys nobody but the user."""

from __future__ import annotations

import json

import pytest

from wsplatform.cli import output

HOSTILE = "a\x1b]0;x\x07\x9b31m\x7f"


def test_an_error_holds_no_command_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.fail(HOSTILE, "code")
    output.incomplete([HOSTILE])
    error, incomplete = capsys.readouterr().err.splitlines()
    assert error == "error: a\ufffd]0;x\ufffd\ufffd31m\ufffd [code]"
    assert incomplete.isprintable()


def test_json_holds_none_either_and_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    output.as_json({HOSTILE: "ключ"})
    (line,) = capsys.readouterr().out.splitlines()
    assert line.isprintable()
    assert json.loads(line) == {HOSTILE: "ключ"}
