from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import click

from wsplatform.cli import output
from wsplatform.cli.complete import metric_names, node_ids
from wsplatform.cli.figures import Moment, Span, amount, check_range, duration, moment, percent, size
from wsplatform.cli.options import AGGREGATIONS, Server, json_option, with_registry
from wsplatform.errors import PlatformError

_HOUR = 3600.0
_SAMPLE = 10
_MOST = 20
_NAME = 28
"""Columns for the name of a series beside its line."""


@click.command("metrics")
@click.argument("metric", shell_complete=metric_names)
@click.option(
    "--node", default="", metavar="ID", shell_complete=node_ids, help="Of this node; otherwise of all together."
)
@click.option("--label", default="", metavar="VALUE", help="Of this value of the metric's label; otherwise of all.")
@click.option("--by", type=click.Choice(["node", "label"]), help="A series for each of them.")
@click.option("--from", type=Moment(), help="From then on: 1h, 7d (ago), 2026-01-31T09:30 (UTC).  [default: 1h]")
@click.option("--to", type=Moment(), help="Until then.  [default: now]")
@click.option("--step", type=Span(), help="Time between two values, 10s or more.  [default: as many as fit]")
@click.option(
    "--aggregation",
    type=click.Choice(AGGREGATIONS),
    help="How values are brought together.  [default: what suits the metric]",
)
@click.option(
    "--most",
    type=click.IntRange(0, 1000),
    metavar="N",
    help="With --by, the N series with the largest sums; 0: all.  [default: 20, with --json all]",
)
@json_option
@with_registry
def command(metric: str, json_: bool, server: Server, **asked: Any) -> None:
    """Show how a METRIC went, as a chart; `list` in its place lists those that there are. Asks the registry.

    One series is drawn as bars; with --by, each is a line. Where more values come than fit, a column has the largest of
    its values. A time in which nobody reported is left empty.

    \b
    Examples:
      wsplatform metrics list
      wsplatform metrics publications
      wsplatform metrics sessions --by node --from 1d
      wsplatform metrics delivery --aggregation p99 --from 7d --step 1h --json
    """
    from wsplatform.cli.http import ask

    if metric == "list":
        _list(json_, server)
        return
    to = time.time() if asked["to"] is None else asked["to"]
    begin = to - _HOUR if asked["from"] is None else asked["from"]
    check_range(begin, to)
    step = _step(to - begin) if asked["step"] is None else asked["step"]
    most = asked["most"] if asked["most"] is not None else 0 if json_ else _MOST
    query = {**asked, "metric": metric, "from": begin, "to": to, "step": step, "most": most}
    try:
        answer = ask(server, "GET", "metrics?" + _encoded(query))
    except PlatformError as error:
        if error.code == "unknown_metric":
            raise PlatformError(
                error.code, f"There is no metric {metric}: wsplatform metrics list shows those that there are."
            ) from error
        raise
    if json_:
        output.as_json(answer)
    else:
        _draw(metric, answer, named=bool(asked["by"]))


def _list(json_: bool, server: Server) -> None:
    from wsplatform.cli.http import ask_all

    found = ask_all(server, "metrics/catalogue")
    if json_:
        output.as_json(found)
        return
    rows = [
        [item["name"], item["kind"], item["unit"] or "-", item["label"] or "-", item["default"], item["help"]]
        for item in found
    ]
    output.table(["METRIC", "KIND", "UNIT", "LABEL", "SHOWN AS", "WHAT IT IS"], rows)


def _draw(metric: str, answer: dict[str, Any], *, named: bool) -> None:
    """named: whose the series are is worth a word, even if there is one only."""
    from wsplatform.cli.chart import chart, sparkline, steps

    columns, glyphs = _columns(), steps()
    shown = _format(answer)
    series = [(_name(metric, item), item["values"]) for item in answer["series"]]
    known = [value for _, values in series for value in values if value is not None]
    output.line(f"{metric}, {answer['aggregation']}, {moment(answer['from'])} to {moment(answer['to'])}")
    if not known:
        output.line("nothing was reported in that time")
        return
    if not named:
        for line in chart(series[0][1], columns, shown, glyphs):
            output.line(line)
    else:
        for name, values in sorted(series, key=lambda item: -_largest(item[1])):
            bars = sparkline(values, max(columns - _NAME - 18, 8), glyphs, max(known))
            output.line(f"{_cut(name):<{_NAME}} {bars} max {shown(_largest(values))}")
        if answer["left_out"]:
            output.line(f"and {answer['left_out']} smaller ones: see --most, or --node and --label for one of them")
    mean = math.fsum(known) / len(known)
    output.line(
        f"a value each {duration(answer['step'])}: min {shown(min(known))}, mean {shown(mean)}, max {shown(max(known))}"
    )


def _format(answer: dict[str, Any]) -> Callable[[float], str]:
    aggregation = answer["aggregation"]
    unit = "" if answer["kind"] == "histogram" and aggregation in ("count", "rate") else answer["unit"]
    per = "/s" if aggregation == "rate" else ""
    if unit == "seconds":
        return percent if per else duration  # seconds of a second: of one core
    if unit == "bytes":
        return lambda value: size(value) + per
    return lambda value: amount(value) + per


def _name(metric: str, item: dict[str, Any]) -> str:
    label = item["label"]
    if metric == "disconnects" and label in (words := _disconnects()):
        label = f"{label} {words[label]}"
    return " ".join(filter(None, (item["node"], label)))


def _disconnects() -> dict[str, str]:
    """By the code of a close, what it says."""
    from wsplatform import errors

    return {str(kind.code): kind.reason for kind in vars(errors).values() if isinstance(kind, errors.Disconnect)}


def _cut(name: str) -> str:
    return name if len(name) <= _NAME else name[: _NAME - 1] + "…"


def _largest(values: list[float | None]) -> float:
    return max((value for value in values if value is not None), default=0.0)


def _columns() -> int:
    import shutil

    return max(shutil.get_terminal_size().columns, 20)


def _step(seconds: float) -> int:
    """So that the values fit into the columns."""
    room = max(min(_columns() - 14, 300), 10)
    return max(math.ceil(seconds / room / _SAMPLE), 1) * _SAMPLE


def _encoded(query: dict[str, Any]) -> str:
    from urllib.parse import urlencode

    return urlencode({name: value for name, value in query.items() if value not in ("", None)})
