"""What a run of `wsplatform bench` was asked for, and what it has counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from wsplatform.core.deliveries import Lost, Receipt, Stream
from wsplatform.core.histogram import Histogram
from wsplatform.core.numbered import Numbered

Through = Literal["api", "client"]


@dataclass(frozen=True, slots=True)
class Plan:
    """run: what marks this run's publications. servers: http(s) URLs. rate: publications a second, over all channels.

    connect_rate: connections begun a second; 0: as many as go. token: of every client; token_secret: each client gets
    one of its own, signed with it. size: bytes of data in a publication.
    """

    run: str
    servers: tuple[str, ...]
    channels: tuple[str, ...]
    clients: int
    rate: float
    seconds: float
    size: int
    through: Through
    key: str
    token: str
    token_secret: str
    connect_rate: float

    def channels_of(self, client: int) -> tuple[str, ...]:
        """Clients are spread over the channels; with more channels than clients, the channels over the clients."""
        if len(self.channels) <= self.clients:
            return (self.channels[client % len(self.channels)],)
        return self.channels[client :: self.clients]

    def server_of(self, client: int) -> int:
        """Each channel's subscribers in turn, whatever the numbers of channels and servers."""
        row, column = divmod(client, len(self.channels))
        return (row + column) % len(self.servers)


class Book:
    """Counts. Causes are short stable words: codes of errors, `http_503`, names of errno.

    streams: of each channel, one for each publisher. refused: publications that the server did not take. unanswered:
    sent, and nobody knows. unsent: due, but their publisher could not send them.
    """

    def __init__(self, plan: Plan) -> None:
        self.streams = {
            channel: tuple(Stream() for _ in range(_publishers(plan, index)))
            for index, channel in enumerate(plan.channels)
        }
        self.latency = Histogram()  # microseconds
        self.arrived = 0
        self.last_arrival = 0  # microseconds since the beginning
        self.made = 0
        self.failed = Counter[str]()
        self.disconnects = Counter[int]()
        self.reconnects = 0
        self.reconnect_failures = Counter[str]()
        self.unsubscribes = Counter[int]()
        self.due = 0
        self.accepted = 0
        self.refused = Counter[str]()
        self.unanswered = Counter[str]()
        self.unsent = Counter[str]()
        self._run = plan.run
        self._receipts: list[Receipt] = []
        self._subscribers = Counter[str]()

    def subscribe(self, channel: str) -> tuple[Receipt, ...]:
        """What a new subscriber of the channel has to get, by publisher."""
        receipts = tuple(Receipt(stream) for stream in self.streams[channel])
        self._receipts += receipts
        self._subscribers[channel] += 1
        return receipts

    def take(self, receipts: tuple[Receipt, ...], publication: Numbered, at: int) -> None:
        """A publication has arrived `at` microseconds after the beginning; those of other runs do not count."""
        if publication.run == self._run and receipts[publication.publisher].take(publication.number):
            self.arrived += 1
            self.last_arrival = at
            self.latency.add(at - publication.at)

    def accept(self, stream: Stream, number: int) -> None:
        stream.accept(number)
        self.accepted += 1

    @property
    def expected(self) -> int:
        return sum(
            self._subscribers[channel] * sum(stream.accepted for stream in streams)
            for channel, streams in self.streams.items()
        )

    def lost(self) -> Lost:
        """As of now. Takes a moment for each subscription."""
        return _sum(receipt.lost() for receipt in self._receipts)

    @property
    def duplicated(self) -> int:
        return sum(receipt.duplicated for receipt in self._receipts)

    @property
    def out_of_order(self) -> int:
        return sum(receipt.out_of_order for receipt in self._receipts)


def _publishers(plan: Plan, index: int) -> int:
    """One for each server, so that publications begin on every node; clients publish where they are subscribed."""
    if plan.through == "api":
        return len(plan.servers)
    subscribers = len(range(index, plan.clients, len(plan.channels))) or 1
    return min(len(plan.servers), subscribers)


def _sum(parts: Iterable[Lost]) -> Lost:
    connected = away = 0
    for part in parts:
        connected += part.connected
        away += part.away
    return Lost(connected, away)
