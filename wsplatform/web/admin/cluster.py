"""The port of the admin API to the nodes, whichever process it is served by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from wsplatform.model import Publication
from wsplatform.node.inquiry import Findings
from wsplatform.wire.inspect import Question

T = TypeVar("T")


class Cluster(Protocol):
    """app/cluster.py in the process of a node, app/observer.py in that of a registry by itself."""

    @property
    def holder(self) -> str:
        """The id of the node in this process; empty: there is none."""
        ...

    async def ask(self, question: Question, node_id: str = ...) -> Findings:
        """The answers of all nodes, or of the one that is named; waits a few seconds at most."""
        ...

    async def publish(self, channel: str, publication: Publication) -> None:
        """As a backend could that no key limits. Raises CommandError."""

    def watch(
        self, channel: str, listener: Callable[[Publication], None], known: Callable[[], None]
    ) -> Callable[[], None]:
        """Call `listener` with every publication, until the function that is returned is called, once.

        known: called once, when what any node publishes from now on comes; also when that takes too long.
        """
        ...


def answers_of(found: Findings, kind: type[T]) -> tuple[dict[str, T], list[str]]:
    """The answers of this kind by node id, and the ids of nodes that gave none: late, or too busy."""
    answers: dict[str, T] = {node_id: answer for node_id, answer in found.answers.items() if isinstance(answer, kind)}
    return answers, sorted({*found.missing, *found.answers} - answers.keys())
