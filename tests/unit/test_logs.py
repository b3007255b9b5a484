import io
import json
import logging
import sys
from collections.abc import Iterator
from datetime import datetime

import pytest
from loguru import logger

from wsplatform import logs
from wsplatform.settings import LogTable

HUMAN = LogTable(level="INFO", format="human")
JSON = LogTable(level="INFO", format="json")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.root.handlers[:], logging.root.level
    yield
    logger.remove()
    logger.add(sys.stderr)
    logger.configure(extra={}, patcher=lambda _record: None)
    logging.captureWarnings(False)
    logging.root.handlers[:], level = root
    logging.root.setLevel(level)


def test_a_json_line_says_when_what_and_who(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(JSON, "n1")
    logger.bind(session="s1", peer=("n2", 7)).warning("slow {}", "reader")
    logger.debug("not at this level")
    line = json.loads(capsys.readouterr().err)
    assert datetime.fromisoformat(line.pop("time")).tzinfo is not None
    assert line == {
        "level": "WARNING",
        "message": "slow reader",
        "logger": __name__,
        "node": "n1",
        "session": "s1",
        "peer": ["n2", 7],
    }


def test_one_json_object_a_line_whatever_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(JSON)
    logger.info("two\nlines \x1b[31m{} <red> é\u2028\u202e\u2066\udcff", "{x}")
    logging.getLogger("aiohttp.server").error("Error %s", "handling\nrequest")
    try:
        _fail("cause")
    except ValueError:
        logger.exception("it failed")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["message"] for line in lines] == [
        "two\\nlines \\x1b[31m{x} <red> é\\u2028\\u202e\\u2066\\udcff",
        "Error handling\\nrequest",
        "it failed",
    ]
    assert lines[1]["logger"] == "aiohttp.server"
    assert lines[2]["stack"].endswith("ValueError: cause\n")


def _fail(cause: str) -> None:
    password = "value-of-a-local-variable"
    raise ValueError(cause if password else "")


@pytest.mark.parametrize("table", [HUMAN, JSON])
def test_a_stack_never_shows_local_variables(capsys: pytest.CaptureFixture[str], table: LogTable) -> None:
    logs.set_up(table)
    try:
        _fail("cause")
    except ValueError:
        logger.exception("it failed")
    lines = capsys.readouterr().err
    assert "ValueError: cause" in lines
    assert "value-of-a-local-variable" not in lines


def test_a_human_line_is_one_line_with_node_and_session(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(HUMAN)
    logs.name_node("n1")
    logger.bind(session="s1", odd="a\nb").info("hello {}", "<b>{world}</b>\n12:00 ERROR forged")
    (line,) = capsys.readouterr().err.splitlines()
    assert "INFO" in line
    assert " n1 " in line
    assert "session=s1" in line
    assert "odd=a\\nb" in line
    assert "hello <b>{world}</b>\\n12:00 ERROR forged" in line


def test_libraries_are_heard_from_their_level_up(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(HUMAN)
    logging.getLogger("sanic.access").info("a request")
    logging.getLogger("asyncio").info("using a selector")
    logging.getLogger("some.library").debug("details")
    logging.getLogger("some.library").info("news")
    logging.getLogger("sanic.error").error("trouble")
    assert [line.split("(")[-1] for line in capsys.readouterr().err.splitlines()] == ["some.library)", "sanic.error)"]


def test_statements_are_in_no_log_for_they_have_values(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(LogTable(level="TRACE"))
    logging.getLogger("peewee").debug(("SELECT ? FROM keys", ["digest"]))
    logging.getLogger("peewee.migrations").debug("INSERT")
    assert capsys.readouterr().err == ""


def test_a_level_of_ones_own_and_nobody_reading(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.set_up(HUMAN)
    logging.getLogger("x").log(35, "between the levels")
    assert "between the levels" in capsys.readouterr().err

    class Gone(io.StringIO):
        def write(self, _text: str, /) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    logger.error("nobody hears")
