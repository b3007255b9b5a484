"""The catalogue of metrics: what nodes count, under which names it is stored, shown and exported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol

Kind = Literal["counter", "gauge", "histogram"]
Unit = Literal["", "seconds", "bytes"]

SAMPLE_SECONDS: Final = 10
"""How often a node reports what it has counted, at multiples of this of Unix time."""

_BITS: Final = 4
_STEPS: Final = 1 << _BITS
LARGEST: Final = (1 << 40) - 1
"""Microseconds; longer times are counted as this one, 12 days."""

NOTED: Final = 4096
"""Times that are put into their buckets together."""


@dataclass(frozen=True, slots=True)
class Metric:
    """`label`: the name of its label, whose values are bounded; empty: it has none.

    A counter is what was counted in an interval, a gauge the value of a moment, a histogram times in buckets.
    exported: the name by which all of Prometheus knows it, where there is one.
    """

    name: str
    kind: Kind
    help: str
    unit: Unit = ""
    label: str = ""
    exported: str = ""

    @property
    def prometheus(self) -> str:
        """By the conventions of Prometheus: prefix, unit, and `_total` for counters."""
        if self.exported:
            return self.exported
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


class Durations:
    """Times, in their buckets.

    noted: nanoseconds of times that have no bucket yet. Where every fraction of a microsecond counts, they are appended
    to it, and `settle` is called before they are too many: together they cost half of what they cost one by one.
    """

    __slots__ = ("_buckets", "_sum", "noted")

    def __init__(self) -> None:
        self._buckets = [0] * (bucket_of(LARGEST) + 1)
        self._sum = 0.0
        self.noted: list[int] = []

    @property
    def buckets(self) -> list[int]:
        """How many are in each."""
        self.settle()
        return self._buckets

    @property
    def sum(self) -> float:
        """Of all, in seconds."""
        self.settle()
        return self._sum

    def add(self, seconds: float) -> None:
        """`seconds`: of a clock that does not go back."""
        self.noted.append(round(seconds * 1e9))
        if len(self.noted) >= NOTED:
            self.settle()

    def settle(self) -> None:
        if self.noted:
            self._sum += sum(self.noted) / 1e9
            for microseconds, count in Counter([time // 1000 for time in self.noted]).items():
                self._buckets[bucket_of(microseconds)] += count
            self.noted.clear()


class Recent:
    """What was added to `times` since it was last asked for."""

    __slots__ = ("_before", "_times")

    def __init__(self, times: Durations) -> None:
        self._times = times
        self._before = times.buckets.copy()

    def quantile(self, share: float) -> float | None:
        """As the function below, of what is new."""
        before, self._before = self._before, self._times.buckets.copy()
        return quantile([now - then for now, then in zip(self._before, before, strict=True)], share)


def quantile(counts: Sequence[int], share: float) -> float | None:
    """Seconds that `share` (0 to 1) of the times in all buckets, by number, do not exceed; None: there are none."""
    total = sum(counts)
    if not total:
        return None
    rank = share * total
    seen = 0
    for bucket, count in enumerate(counts):
        seen += count
        if count and seen >= rank:
            return largest_in(bucket) / 1e6
    raise AssertionError("all were seen")


class Sample(NamedTuple):
    """A metric as it stands: a counter since the start, a gauge now, or the times since the start."""

    metric: str
    value: float | Durations
    label: str = ""


class Measured(Protocol):
    """Something that counts. Asked some times a minute; what it tells costs nothing until then."""

    def measure(self) -> Iterable[Sample]: ...


_METRICS: Final = (
    # What passes
    Metric(
        "publications",
        "counter",
        "Publications that this node accepted, from clients or backends, and not those of other nodes.",
        label="source",
    ),
    Metric("broadcasts", "counter", "Broadcasts that this node accepted: one publication each on several channels."),
    Metric("deliveries", "counter", "Publications written to subscribers, one for each subscriber."),
    Metric("connects", "counter", "Sessions that began."),
    Metric("disconnects", "counter", "Client connections that ended, by the code of their close.", label="code"),
    Metric("refused_upgrades", "counter", "Client connections refused before they began, by reason.", label="reason"),
    Metric("subscribes", "counter", "Subscriptions that began."),
    Metric("unsubscribes", "counter", "Subscriptions that ended, those of sessions that ended included."),
    Metric(
        "errors",
        "counter",
        "Commands of clients answered with an error, or with the end of the connection, by its code.",
        label="code",
    ),
    Metric("api_commands", "counter", "Commands of backends, those of batches each for itself.", label="method"),
    Metric("api_errors", "counter", "Requests and commands of backends answered with an error.", label="code"),
    Metric("sent", "counter", "Bytes written to clients.", "bytes"),
    Metric("received", "counter", "Bytes read from clients.", "bytes"),
    # What there is
    Metric("sessions", "gauge", "Sessions."),
    Metric("connections", "gauge", "Client connections, with or without a session."),
    Metric("users", "gauge", "Users that have a session."),
    Metric("channels", "gauge", "Channels that have subscribers."),
    Metric("subscriptions", "gauge", "Subscriptions."),
    Metric("slow_clients", "gauge", "Clients for which data waits because they read slowly."),
    Metric("client_waiting", "gauge", "Bytes that wait for clients that read slowly.", "bytes"),
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
    Metric("canaries_late", "counter", "Canaries that were not back from a peer when the next was due.", label="peer"),
    Metric("interest_late", "counter", "Subscribes answered by time, before every node had said that it knows."),
    # The process and its host
    Metric(
        "cpu",
        "counter",
        "CPU time of the process, user and system.",
        "seconds",
        exported="process_cpu_seconds_total",
    ),
    Metric("memory", "gauge", "Resident memory of the process.", "bytes", exported="process_resident_memory_bytes"),
    Metric("open_files", "gauge", "Open file descriptors of the process.", exported="process_open_fds"),
    Metric("max_files", "gauge", "File descriptors that the process may open.", exported="process_max_fds"),
    Metric("uptime", "gauge", "Time since the start of the process.", "seconds"),
    Metric("host_load", "gauge", "Load average of the host over one minute."),
    Metric("ready", "gauge", "Whether the node is ready: 1 or 0."),
)

CATALOGUE: Final[Mapping[str, Metric]] = {metric.name: metric for metric in _METRICS}

REGISTRY_METRICS: Final[Mapping[str, Metric]] = {
    metric.name: metric
    for metric in (
        Metric("nodes", "gauge", "Nodes of the view, by what they say of themselves.", label="state"),
        Metric("nodes_lost", "counter", "Nodes that were taken out because nothing was heard of them any more."),
        Metric("view", "gauge", "The number of the view that the registry gives out."),
        Metric("configuration", "gauge", "The version of the rules and keys that the registry gives out."),
        Metric(
            "clock_ahead",
            "gauge",
            "By how much the clock of a node is ahead of the registry's; negative: behind; 0: less than five seconds.",
            "seconds",
            label="node",
        ),
        Metric("database_up", "gauge", "Whether the database could be used the last time it was tried: 1 or 0."),
        Metric("database_waiting", "gauge", "Operations that wait for the database, those under way among them."),
        Metric("plugin_healthy", "gauge", "Whether the work of a plugin is up to date: 1 or 0.", label="plugin"),
    )
}
"""What a registry tells on `/metrics` only: it reports nothing to itself."""
