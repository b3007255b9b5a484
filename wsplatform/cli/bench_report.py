"""What `wsplatform bench` reports: as an object for programs, as lines for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from wsplatform.cli.bench_book import Book, Plan
from wsplatform.cli.bench_meter import Meter
from wsplatform.core.histogram import Histogram

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99_9": 0.999}
Counts = dict[str, int]


class Connections(msgspec.Struct, frozen=True):
    """failed, reconnect_failures: by cause. disconnects, unsubscribes: by code. seconds: until all had come."""

    wanted: int
    made: int
    failed: Counts
    seconds: float
    disconnects: Counts
    reconnects: int
    reconnect_failures: Counts
    unsubscribes: Counts


class Publications(msgspec.Struct, frozen=True):
    """due = accepted + refused + unanswered + unsent, the last three by cause. per_second: accepted."""

    due: int
    accepted: int
    refused: Counts
    unanswered: Counts
    unsent: Counts
    per_second: float


class Deliveries(msgspec.Struct, frozen=True):
    """expected: accepted publications, each as often as its channel had subscribers; = arrived + lost.

    lost_while_away: of the lost ones, those that were published while the subscriber's connection was lost, or were
    under way then. unexpected: arrived, of publications that were not accepted.
    """

    expected: int
    arrived: int
    lost: int
    lost_while_away: int
    duplicated: int
    out_of_order: int
    unexpected: int
    per_second: float


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds from when a publication was due to its arrival. None: nothing arrived."""

    p50: float | None
    p90: float | None
    p99: float | None
    p99_9: float | None
    max: float | None


class Generator(msgspec.Struct, frozen=True):
    """Percent of one core; wait_percent: of the time, in which it could have run and other processes did.

    lag: milliseconds by which its event loop was late.
    """

    cpu_percent: float
    wait_percent: float
    lag_p99_ms: float
    lag_max_ms: float
    bottleneck: bool


class Report(msgspec.Struct, frozen=True):
    """ok: nothing was lost, doubled or out of order."""

    run: str
    ok: bool
    interrupted: bool
    asked: dict[str, Any]
    connections: Connections
    publications: Publications
    deliveries: Deliveries
    latency_ms: Latency
    generator: Generator


class Times(msgspec.Struct):
    """Seconds that the phases took; `began`: when publishing did, since the beginning."""

    connecting: float = 0.0
    began: float = 0.0
    publishing: float = 0.0


def report(plan: Plan, book: Book, meter: Meter, times: Times, *, interrupted: bool) -> Report:
    deliveries = _deliveries(book, max(times.publishing, book.last_arrival / 1e6 - times.began))
    return Report(
        run=plan.run,
        ok=not (deliveries.lost or deliveries.duplicated or deliveries.out_of_order),
        interrupted=interrupted,
        asked={
            "servers": plan.servers,
            "channels": len(plan.channels),
            "clients": plan.clients,
            "rate": plan.rate,
            "seconds": plan.seconds,
            "size": plan.size,
            "publish_through": plan.through,
        },
        connections=Connections(
            wanted=plan.clients,
            made=book.made,
            failed=_sorted(book.failed),
            seconds=round(times.connecting, 3),
            disconnects={str(code): count for code, count in sorted(book.disconnects.items())},
            reconnects=book.reconnects,
            reconnect_failures=_sorted(book.reconnect_failures),
            unsubscribes={str(code): count for code, count in sorted(book.unsubscribes.items())},
        ),
        publications=Publications(
            due=book.due,
            accepted=book.accepted,
            refused=_sorted(book.refused),
            unanswered=_sorted(book.unanswered),
            unsent=_sorted(book.unsent),
            per_second=_rate(book.accepted, times.publishing),
        ),
        deliveries=deliveries,
        latency_ms=_latency(book.latency),
        generator=Generator(
            round(meter.cpu * 100, 1),
            round(meter.waiting * 100, 1),
            _ms(meter.lag.quantile(0.99)),
            _ms(meter.lag.highest),
            meter.bottleneck,
        ),
    )


def _deliveries(book: Book, seconds: float) -> Deliveries:
    expected = book.expected
    lost = book.lost()
    arrived = expected - lost.connected - lost.away
    return Deliveries(
        expected=expected,
        arrived=arrived,
        lost=lost.connected + lost.away,
        lost_while_away=lost.away,
        duplicated=book.duplicated,
        out_of_order=book.out_of_order,
        unexpected=book.arrived - arrived,
        per_second=_rate(arrived, seconds),
    )


def _latency(histogram: Histogram) -> Latency:
    if not histogram.count:
        return Latency(None, None, None, None, None)
    quantiles = {name: _ms(histogram.quantile(share)) for name, share in QUANTILES.items()}
    return Latency(**quantiles, max=_ms(histogram.highest))


def for_people(result: Report) -> Iterator[str]:
    """Lines."""
    connections, generator = result.connections, result.generator
    rate = f", {_rate(connections.made, connections.seconds):,.0f}/s" if connections.seconds else ""
    yield f"connections   {connections.made:,} of {connections.wanted:,}{rate}{_causes('failed', connections.failed)}"
    if connections.disconnects:
        back = f"; {connections.reconnects:,} came back{_causes('attempts failed', connections.reconnect_failures)}"
        yield f"disconnects   {_listed(connections.disconnects)}{back}"
    if connections.unsubscribes:
        yield f"unsubscribes  {_listed(connections.unsubscribes)}"
    if result.asked["rate"]:
        yield from _traffic(result)
    waits = f", waited for one {generator.wait_percent:.0f} % of the time" if generator.wait_percent >= 1 else ""
    yield f"generator     {generator.cpu_percent:.0f} % of a core{waits}; late by {generator.lag_p99_ms:.1f} ms (p99)"


def _traffic(result: Report) -> Iterator[str]:
    publications, deliveries, latency = result.publications, result.deliveries, result.latency_ms
    causes = "".join(
        _causes(what, counts)
        for what, counts in (
            ("refused", publications.refused),
            ("without an answer", publications.unanswered),
            ("not sent", publications.unsent),
        )
    )
    yield f"publications  {publications.accepted:,} of {publications.due:,}, {publications.per_second:,.1f}/s{causes}"
    yield f"deliveries    {deliveries.arrived:,} of {deliveries.expected:,}, {deliveries.per_second:,.0f}/s"
    away = f" ({deliveries.lost_while_away:,} of them while away)" if deliveries.lost_while_away else ""
    yield (
        f"              {deliveries.lost:,} lost{away}, {deliveries.duplicated:,} doubled,"
        f" {deliveries.out_of_order:,} out of order"
    )
    if latency.max is not None:
        values = {name.replace("_", "."): value for name, value in msgspec.structs.asdict(latency).items()}
        yield "latency       " + "  ".join(f"{name} {value:,.1f} ms" for name, value in values.items())


WARNING = (
    "warning: this generator was too busy to measure well, latencies above all: use fewer clients or a lower rate,"
    " run it on another machine than the nodes, or run several at once"
)


def _causes(what: str, counts: Mapping[str, int]) -> str:
    return f"; {what}: {_listed(counts)}" if counts else ""


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{cause} × {count:,}" for cause, count in counts.items())


def _sorted(counts: Counter[str]) -> Counts:
    return dict(sorted(counts.items()))


def _rate(count: int, seconds: float) -> float:
    return round(count / seconds, 1) if seconds > 0 else 0.0


def _ms(micros: int) -> float:
    return round(micros / 1000, 3)
