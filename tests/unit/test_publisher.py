from __future__ import annotations

import pytest
from msgspec import Raw

from wsplatform.errors import CommandError
from wsplatform.model import Publication
from wsplatform.node.publisher import Publisher


class Taker:
    """Fan-out and relay in one."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def deliver(self, channel: str, publication: Publication) -> None:
        self.taken.append(f"here {channel}")

    def publish(self, channel: str, publication: Publication) -> None:
        self.taken.append(f"there {channel}")


def test_a_publication_is_either_refused_with_a_reason_to_try_again_or_goes_to_everybody() -> None:
    taker = Taker()
    publisher = Publisher(taker, taker)  # type: ignore[arg-type]
    publisher.refuse("Publish elsewhere.")
    with pytest.raises(CommandError, match="Publish elsewhere") as refused:
        publisher.publish("c", Publication(Raw(b"1")))
    assert refused.value.temporary
    assert (taker.taken, publisher.publications) == ([], 0)
    publisher.accept()
    publisher.publish("c", Publication(Raw(b"1")))
    assert (taker.taken, publisher.publications) == (["here c", "there c"], 1)
