"""Where log lines go: human lines or one JSON object a line, on standard error.

The code logs with `from loguru import logger`; `logger.bind(session=…)` adds what a line is about. What libraries send
to the standard library's logging comes out the same way. Payloads and secrets are never handed to the logger, and local
variables are never printed with a stack.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from typing import TYPE_CHECKING, Any

import msgspec
from loguru import logger

from wsplatform.settings import LogTable

if TYPE_CHECKING:
    from loguru import Message, Record

# With the marks that turn the direction of text, so that what follows would be read in another order than it stands
# there; and with halves of characters, which cannot be written.
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_CHATTY = (
    "asyncio",
    "aiohttp.access",
    "peewee",
    "sanic.access",
    "sanic.root",
    "sanic.server",
    "sanic.websockets",
)
"""Heard from WARNING up: loggers that tell about each request or connection, greet, or say what is said here.

peewee tells of each statement with its values, digests of keys and log-ins among them.
"""


def set_up(table: LogTable, node_id: str = "") -> None:
    """Send the process's log lines to standard error. A second call replaces the first."""
    logger.remove()
    logger.configure(extra={"node": node_id}, patcher=_tame)
    if table.format == "json":
        logger.add(_write_json, level=table.level, format="{message}", backtrace=False, diagnose=False)
    else:
        colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
        logger.add(_write, level=table.level, format=_human, colorize=colour, backtrace=False, diagnose=False)
    _capture_logging(table.level)


def name_node(node_id: str) -> None:
    """Put the node's id on every line from now on."""
    logger.configure(extra={"node": node_id})


def _tame(record: Record) -> None:
    """Keep each message on its line: what strangers send (names, headers) must not forge lines or move the cursor."""
    record["message"] = _printable(record["message"])
    for key, value in record["extra"].items():
        if isinstance(value, str):
            record["extra"][key] = _printable(value)


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _human(record: Record) -> str:
    about = "".join(f" {key}={{extra[{key}]}}" for key in record["extra"] if key != "node" and key.isidentifier())
    node = " {extra[node]}" if record["extra"].get("node") else ""
    return (
        "<dim>{time:HH:mm:ss.SSS}</dim> <level>{level: <7}</level>"
        f"<cyan>{node}</cyan> {{message}}<dim>{about}</dim> <dim>({{name}})</dim>\n{{exception}}"
    )


def _write(message: Message) -> None:
    try:
        sys.stderr.write(message)
        sys.stderr.flush()
    except OSError:  # nobody reads: there is no other place to say so
        return


def _write_json(message: Message) -> None:
    record = message.record
    fields: dict[str, Any] = {
        "time": record["time"].isoformat(timespec="milliseconds"),
        "level": record["level"].name,
        "message": record["message"],
        "logger": record["name"] or "",
    }
    for key, value in record["extra"].items():
        fields.setdefault(key, value)
    error = record["exception"]
    if error is not None:
        fields["stack"] = "".join(traceback.format_exception(error.type, error.value, error.traceback))
    _write(msgspec.json.encode(fields, enc_hook=str).decode() + "\n")  # type: ignore[arg-type]


class _ToLoguru(logging.Handler):
    """Hands a record of the standard library's logging to loguru, under its own logger's name."""

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname if record.levelname in _LEVELS else record.levelno

        def origin(entry: Record) -> None:
            entry["name"] = record.name

        logger.patch(origin).opt(exception=record.exc_info).log(level, record.getMessage())


def _capture_logging(level: str) -> None:
    number = {"TRACE": logging.DEBUG}.get(level) or logging.getLevelName(level)
    logging.root.handlers = [_ToLoguru()]
    logging.root.setLevel(number)
    logging.captureWarnings(True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    for found in logging.root.manager.loggerDict.values():
        if isinstance(found, logging.Logger):
            found.handlers.clear()
            found.propagate = True
