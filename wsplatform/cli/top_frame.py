"""The picture that `wsplatform top` draws: lines that fit into a terminal of any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from wsplatform.cli.cells import cut, left, printable, right
from wsplatform.cli.figures import amount, clock, duration, percent, size
from wsplatform.cli.top_figures import NodeFigures, Snapshot

Tone = Literal["plain", "head", "strong", "bad"]

KEYS: Final = {
    "n": "name",
    "s": "sessions",
    "p": "publications",
    "d": "deliveries",
    "t": "p99",
    "l": "lag",
    "c": "cpu",
    "m": "memory",
}
"""Key -> what nodes are sorted by."""

_SHORT: Final = {"publications": "pub/s", "deliveries": "deliv/s"}
_NODE_WIDTH: Final = 10
_FEW: Final = 3
"""Lines that a part gets at least, its head among them, where there is room for it at all."""


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Size:
    columns: int
    rows: int


@dataclass(frozen=True, slots=True)
class _Column:
    head: str
    width: int
    text: Callable[[NodeFigures], str]


# The first ones are shown however narrow it is.
_COLUMNS: Final = (
    _Column("STATE", 9, lambda node: f"silent {node.silent:.0f}" if node.silent else node.state),
    _Column("SESSIONS", 8, lambda node: amount(node.sessions)),
    _Column("PUB/S", 7, lambda node: amount(node.publications)),
    _Column("DELIV/S", 7, lambda node: amount(node.deliveries)),
    _Column("P99", 8, lambda node: duration(node.delivery_p99)),
    _Column("CPU", 5, lambda node: percent(node.cpu)),
    _Column("LAG", 8, lambda node: duration(node.lag)),
    _Column("MEMORY", 8, lambda node: size(node.memory_bytes)),
    _Column("ERR/S", 6, lambda node: amount(node.errors)),
    _Column("SUBSCR", 8, lambda node: amount(node.subscriptions)),
    _Column("CHANNELS", 8, lambda node: amount(node.channels)),
    _Column("OUT/S", 9, lambda node: size(node.sent_bytes)),
    _Column("IN/S", 9, lambda node: size(node.received_bytes)),
)
_SORTED: Final[dict[str, Callable[[NodeFigures], Any]]] = {
    "sessions": lambda node: -node.sessions,
    "publications": lambda node: -(node.publications or 0),
    "deliveries": lambda node: -(node.deliveries or 0),
    "p99": lambda node: -(node.delivery_p99 or 0),
    "lag": lambda node: -node.lag,
    "cpu": lambda node: -(node.cpu or 0),
    "memory": lambda node: -node.memory_bytes,
    "name": lambda node: 0,
}


def frame(shot: Snapshot, room: Size, sort: str, trouble: str = "", *, keys: bool = False) -> list[Line]:
    """At most `room.rows` lines of at most `room.columns`.

    trouble: why the figures are old. keys: say what can be pressed.
    """
    columns = max(room.columns, 1)
    top = _summary(shot, trouble)
    foot = [_footer(sort)] if keys and room.rows > len(top) + 2 * _FEW else []
    left_over = room.rows - len(top) - len(foot)
    parts = [_nodes(shot, columns, sort), _links(shot), _busiest(shot, columns)]
    body = [
        line for part, rows in zip(parts, _shares(parts, left_over), strict=True) for line in _shortened(part, rows)
    ]
    body += [Line("")] * (left_over - len(body)) if foot else []
    return [Line(cut(line.text, columns), line.tone) for line in [*top, *body, *foot]][: room.rows]


def _summary(shot: Snapshot, trouble: str) -> list[Line]:
    ready = sum(node.state == "ready" for node in shot.nodes)
    total = [f"{len(shot.nodes)} nodes, {ready} ready", f"{amount(sum(node.sessions for node in shot.nodes))} sessions"]
    for name, word in (("publications", "publications/s"), ("deliveries", "deliveries/s"), ("errors", "errors/s")):
        total.append(f"{amount(_sum([getattr(node, name) for node in shot.nodes]))} {word}")
    lines = [Line(f"wsplatform top  {clock(shot.at)}  {total[0]}", "strong"), Line("  ".join(total[1:]))]
    return [*lines, *([Line(trouble, "bad")] if trouble else [])]


def _nodes(shot: Snapshot, columns: int, sort: str) -> list[Line]:
    shown: list[_Column] = []
    used = _NODE_WIDTH
    for column in _COLUMNS:
        if used + 1 + column.width > columns and len(shown) >= 2:
            break
        shown.append(column)
        used += 1 + column.width
    longest = max((len(node.id) for node in shot.nodes), default=0)
    name_width = min(max(_NODE_WIDTH, longest), max(_NODE_WIDTH, columns - used + _NODE_WIDTH))
    head = [left("NODE", name_width), *(_placed(column, column.head) for column in shown)]
    lines = [Line(""), Line(" ".join(head), "head")]
    for node in sorted(shot.nodes, key=lambda node: (_SORTED[sort](node), node.id)):
        cells = [left(cut(node.id, name_width), name_width), *(_placed(column, column.text(node)) for column in shown)]
        lines.append(Line(" ".join(cells), "plain" if node.state == "ready" and not node.silent else "bad"))
    return lines


def _placed(column: _Column, text: str) -> str:
    return left(text, column.width) if column.head == "STATE" else right(text, column.width)


def _links(shot: Snapshot) -> list[Line]:
    lost = f", {amount(shot.lost)} publications lost since the nodes started" if shot.lost else ""
    lines = [Line(""), Line(f"LINKS: {shot.links_up} of {shot.links} up{lost}", "head")]
    for link in shot.unwell:
        parts = [f"{link.node} → {link.peer}", link.state]
        if link.state != "up":
            parts.append(f"for {duration(max(shot.at - link.since, 0))}")
        parts += [f"{size(link.waiting_bytes)} waiting", f"{amount(link.lost)} lost"]
        lines.append(Line("  ".join(parts), "bad"))
    for node in shot.nodes:
        if node.lost:
            lines.append(
                Line(f"{node.id}  lost {amount(node.lost)} publications to other nodes in the last minute", "bad")
            )
        if node.clock_ahead:
            side = "ahead of" if node.clock_ahead > 0 else "behind"
            lines.append(
                Line(f"{node.id}  its clock is {duration(abs(node.clock_ahead))} {side} the registry's", "bad")
            )
    return lines


def _busiest(shot: Snapshot, columns: int) -> list[Line]:
    width = max(min(columns - 24, 60), 8)
    lines = [Line(""), Line(f"{left('BUSIEST CHANNELS', width)} {'PUB/S':>8} {'SUBSCRIBERS':>12}", "head")]
    for item in shot.busiest:
        name = left(cut(printable(item["channel"]), width), width)
        lines.append(Line(f"{name} {amount(item['publications']):>8} {amount(item['subscribers']):>12}"))
    return lines


def _footer(sort: str) -> Line:
    keys = [(f"{key} {_SHORT.get(word, word)}", word) for key, word in KEYS.items()]
    return Line("q quit | " + " ".join(f"[{text}]" if word == sort else text for text, word in keys), "head")


def _shares(parts: Sequence[Sequence[Line]], rows: int) -> list[int]:
    """How many of `rows` each part gets: all what it needs, or a few first, and the rest in their order."""
    shares = [0] * len(parts)
    for index, part in enumerate(parts):
        if rows - sum(shares) >= _FEW:
            shares[index] = min(len(part), _FEW)
    for index, part in enumerate(parts):
        if shares[index]:
            shares[index] += min(len(part) - shares[index], rows - sum(shares))
    return shares


def _shortened(part: Sequence[Line], rows: int) -> list[Line]:
    """The first lines; where some are left out, the last one says how many."""
    if len(part) <= rows or rows == 0:
        return [*part[:rows]]
    return [*part[: rows - 1], Line(f"… {len(part) - rows + 1} more")]


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
