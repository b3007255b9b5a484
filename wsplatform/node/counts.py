"""What is counted of clients and backends: plain numbers, read when somebody asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from wsplatform import errors
from wsplatform.core.metrics import Sample
from wsplatform.errors import Disconnect

OTHER: Final = "other"
"""The label of codes that are not the platform's or RFC 6455's: clients and backends can make up a thousand."""

_RFC6455: Final = (1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014)
KNOWN_CODES: Final = frozenset(
    (*_RFC6455, *(word.code for word in vars(errors).values() if isinstance(word, Disconnect)))
)


class ClientCounts:
    """Of the client face of one node. errors: by the codes of CommandError, and by the reasons of Disconnect where a
    connection ended for what the client has sent; refused: by those of refusals."""

    __slots__ = ("_disconnects", "connects", "errors", "refused")

    def __init__(self) -> None:
        self.connects = 0
        self.errors: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._disconnects: Counter[int] = Counter()

    def disconnected(self, code: int) -> None:
        self._disconnects[code if code in KNOWN_CODES else 0] += 1

    def measure(self) -> Iterator[Sample]:
        yield Sample("connects", self.connects)
        for number, count in self._disconnects.items():
            yield Sample("disconnects", count, str(number) if number else OTHER)
        for code, count in self.refused.items():
            yield Sample("refused_upgrades", count, code)
        for code, count in self.errors.items():
            yield Sample("errors", count, code)


class ApiCounts:
    """Of the server API of one node. commands: by method; errors: by the codes of CommandError and RequestError."""

    __slots__ = ("broadcasts", "commands", "errors")

    def __init__(self) -> None:
        self.broadcasts = 0
        self.commands: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()

    def measure(self) -> Iterator[Sample]:
        yield Sample("broadcasts", self.broadcasts)
        for method, count in self.commands.items():
            yield Sample("api_commands", count, method)
        for code, count in self.errors.items():
            yield Sample("api_errors", count, code)
