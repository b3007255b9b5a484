"""Figures as people read them: times in ms or s, sizes in KiB or MiB, moments in UTC."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Final

import click

NONE: Final = "-"
_SIZES: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_SPANS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def duration(seconds: float | None) -> str:
    """`0 ms`, `12.3 ms`, `1.2 s`, `60 s`, `5 min`, `3 h`, `2 d`."""
    if seconds is None:
        return NONE
    for limit, unit, name in ((1, 0.001, "ms"), (100, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{_short(seconds / unit) if unit <= 1 else round(seconds / unit)} {name}"
    return f"{seconds / 86_400:.0f} d"


def size(count: float | None) -> str:
    """`12 B`, `1.5 KiB`, `20 MiB`."""
    if count is None:
        return NONE
    number, index = float(count), 0
    while abs(number) >= 1024 and index < len(_SIZES) - 1:
        number, index = number / 1024, index + 1
    return f"{_short(number)} {_SIZES[index]}"


def amount(number: float | None) -> str:
    """`0`, `0.25`, `12`, `9,999`, `12.3k`, `4.5M`."""
    if number is None:
        return NONE
    for limit, unit, name in ((10_000, 1, ""), (10_000_000, 1000, "k"), (10_000_000_000, 1_000_000, "M")):
        if abs(number) < limit:
            return f"{_short(number / unit)}{name}"
    return f"{number / 1e9:.0f}G"


def percent(share: float | None) -> str:
    return NONE if share is None else f"{share:.0%}"


def moment(unix: float | None) -> str:
    """In UTC, to the second."""
    return NONE if unix is None else datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def clock(unix: float) -> str:
    """The time of the day, in UTC."""
    return datetime.fromtimestamp(unix, UTC).strftime("%H:%M:%SZ")


class Moment(click.ParamType[float]):
    """A moment as Unix time: `30m` ago (s, m, h, d, w), ISO 8601 (UTC where it says no zone), or Unix time itself."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value)
        ago = re.fullmatch(r"(\d{1,9})([smhdw])", text)
        if ago:
            return time.time() - int(ago[1]) * _SPANS[ago[2]]
        if re.fullmatch(r"\d{1,11}(\.\d+)?", text):
            return float(text)
        try:
            parsed = datetime.fromisoformat(text)
            return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is not a time like 30m, 2h, 7d (ago), 2026-01-31T09:30 (UTC) or Unix seconds.")


def check_range(begin: float | None, end: float | None) -> None:
    """Raises click.UsageError for one of no length."""
    if begin is not None and end is not None and begin >= end:
        raise click.UsageError(f"--from {moment(begin)} is not before --to {moment(end)}.")


class Span(click.ParamType[float]):
    """A length of time in seconds: `90`, `10s`, `5m`, `1h`, `1d`."""

    name = "span"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"(\d{1,9})([smhdw]?)", str(value))
        if not found:
            self.fail(f"{str(value)!r} is not a length of time like 10s, 5m, 1h or 1d.")
        return float(int(found[1]) * _SPANS[found[2] or "s"])


def _short(number: float) -> str:
    """Three digits where they say something, thousands with commas."""
    if abs(number) >= 99.95:
        return f"{number:,.0f}"
    return (f"{number:.1f}" if abs(number) >= 9.995 else f"{number:.2f}").rstrip("0").rstrip(".")
