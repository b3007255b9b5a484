"""The catalogue of metrics: what nodes count, under which names it is stored, shown and exported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]
Unit = Literal["", "seconds", "bytes"]

SAMPLE_SECONDS: Final = 10
"""How often a node reports what it has counted, at multiples of this of Unix time."""

_BITS: Final = 4
_STEPS: Final = 1 << _BITS
LARGEST: Final = (1 << 40) - 1
"""Microseconds; longer times are counted as this one, 12 days."""


@dataclass(frozen=True, slots=True)
class Metric:
    """`label`: the name of its label, whose values are bounded; empty: it has none.

    A counter is what was counted in an interval, a gauge the value of a moment, a histogram times in buckets.
    """

    name: str
    kind: Kind
    help: str
    unit: Unit = ""
    label: str = ""

    @property
    def prometheus(self) -> str:
        """By the conventions of Prometheus: prefix, unit, and `_total` for counters."""
        unit = f"_{self.unit}" if self.unit and not self.name.endswith(self.unit) else ""
        return f"wsplatform_{self.name}{unit}{'_total' if self.kind == 'counter' else ''}"


def bucket_of(microseconds: int) -> int:
    """The number of the bucket of a time: 16 buckets for each doubling, so within 1/16 of it."""
    value = min(max(microseconds, 0), LARGEST)
    shift = value.bit_length() - _BITS - 1
    if shift <= 0:
        return value
    return (shift << _BITS) + (value >> shift)


def largest_in(bucket: int) -> int:
    """The longest time that belongs to a bucket, in microseconds."""
    shift = max((bucket >> _BITS) - 1, 0)
    return ((bucket - (shift << _BITS) + 1) << shift) - 1


_METRICS: Final = (
    # What passes
    Metric("publications", "counter", "Publications that this node accepted, by where they came from.", label="source"),
    Metric("broadcasts", "counter", "Broadcasts that this node accepted: one publication each on several channels."),
    Metric("deliveries", "counter", "Publications written to subscribers, one for each subscriber."),
    Metric("subscribes", "counter", "Subscriptions that were taken."),
    Metric("unsubscribes", "counter", "Subscriptions that ended, with their sessions among them."),
    Metric("connects", "counter", "Sessions that began."),
    Metric("disconnects", "counter", "Client connections that ended, by the code of their close.", label="code"),
    Metric("refused_upgrades", "counter", "Client connections refused before they began, by reason.", label="reason"),
    Metric("errors", "counter", "Commands of clients and backends answered with an error, by its code.", label="code"),
    Metric("sent", "counter", "Bytes written to clients.", "bytes"),
    Metric("received", "counter", "Bytes read from clients.", "bytes"),
    # What there is
    Metric("sessions", "gauge", "Sessions."),
    Metric("connections", "gauge", "Client connections, with or without a session."),
    Metric("users", "gauge", "Users that have a session."),
    Metric("channels", "gauge", "Channels that have subscribers."),
    Metric("subscriptions", "gauge", "Subscriptions."),
    Metric("slow_clients", "gauge", "Clients for which data waits because they read slowly."),
    # How long it takes
    Metric("fanout", "histogram", "Time to write one frame to all local subscribers of a channel.", "seconds"),
    Metric(
        "delivery", "histogram", "From a publication's arrival at the node to its write to the last one.", "seconds"
    ),
    Metric("canary", "histogram", "From a publication to a peer's subscribers and back.", "seconds"),
    Metric("loop_lag", "histogram", "By how much the event loop was late.", "seconds"),
    # Between nodes
    Metric("link_sent", "counter", "Messages sent to a peer.", label="peer"),
    Metric("link_received", "counter", "Messages received from a peer.", label="peer"),
    Metric("link_replayed", "counter", "Messages sent to a peer again after a break.", label="peer"),
    Metric("link_dropped", "counter", "Publications that a peer will never get, by cause.", label="cause"),
    Metric("link_gaps", "counter", "Publications of a peer that will never come.", label="peer"),
    Metric("link_waiting", "gauge", "Bytes that a peer has not acknowledged yet.", "bytes", label="peer"),
    Metric("link_rtt", "gauge", "Round trip of a link.", "seconds", label="peer"),
    Metric("link_up", "gauge", "Whether the link with a peer is up: 1 or 0.", label="peer"),
    # The process and its host
    Metric("cpu", "counter", "CPU time of the process, user and system.", "seconds"),
    Metric("memory", "gauge", "Resident memory of the process.", "bytes"),
    Metric("open_files", "gauge", "Open file descriptors of the process."),
    Metric("max_files", "gauge", "File descriptors that the process may open."),
    Metric("uptime", "gauge", "Time since the start of the process.", "seconds"),
    Metric("host_load", "gauge", "Load average of the host over one minute."),
    Metric("ready", "gauge", "Whether the node is ready: 1 or 0."),
)

CATALOGUE: Final[Mapping[str, Metric]] = {metric.name: metric for metric in _METRICS}
