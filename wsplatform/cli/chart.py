"""Charts of text: values over time as bars of blocks, or of plain letters where a terminal has none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

Values = Sequence[float | None]
Format = Callable[[float], str]

BLOCKS: Final = " ▁▂▃▄▅▆▇█"
PLAIN: Final = " .:#"
ROWS: Final = 8


def steps() -> str:
    """What bars are made of, from nothing to full: what standard output and the terminal can show."""
    import os

    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    return BLOCKS if encoding == "utf8" and os.environ.get("TERM") != "dumb" else PLAIN


def fitted(values: Values, columns: int) -> list[float | None]:
    """At most `columns` values: of several that fall into one column the largest, so that no peak is hidden."""
    if len(values) <= columns:
        return list(values)
    edges = [index * len(values) // columns for index in range(columns + 1)]
    parts = [[value for value in values[begin:end] if value is not None] for begin, end in pairwise(edges)]
    return [max(part) if part else None for part in parts]


def chart(values: Values, columns: int, shown: Format, glyphs: str, rows: int = ROWS) -> list[str]:
    """Lines of a bar chart that is at most `columns` wide, from the top; its scale is on the left, from 0.

    A column where nobody reported is empty; one where nothing happened stands on the base line.
    """
    top = max((value for value in values if value is not None), default=0.0)
    labels = {0: shown(top), rows - 1: shown(0.0)}
    margin = max(map(len, labels.values()))
    points = fitted(values, max(columns - margin - 3, 1))
    border = "│" if glyphs == BLOCKS else "|"
    lines = []
    for row in range(rows):
        base = rows - 1 - row
        bars = "".join(_cell(value, top, base, rows, glyphs) for value in points)
        lines.append(f"{labels.get(row, ''):>{margin}} {border} {bars}".rstrip())
    return lines


def sparkline(values: Values, columns: int, glyphs: str, top: float) -> str:
    """One line; `top`: the value of a full bar."""
    return "".join(_cell(value, top, 0, 1, glyphs) for value in fitted(values, columns))


def _cell(value: float | None, top: float, base: int, rows: int, glyphs: str) -> str:
    full = len(glyphs) - 1
    if value is None:
        return " "
    height = value / top * rows * full if top > 0 else 0.0
    within = min(max(round(height - base * full), 0), full)
    return glyphs[1] if within == 0 and base == 0 else glyphs[within]
