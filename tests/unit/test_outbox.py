from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wsplatform.net.outbox import CHUNK, Outbox


@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=30))
def test_everything_leaves_in_order_and_never_in_writes_that_cannot_be_dropped(sizes: list[int]) -> None:
    outbox = Outbox()
    sent = b""
    for index, size in enumerate(sizes):
        frames = bytes([index]) * size
        outbox.put(frames)
        sent += frames
    assert outbox.size == len(sent)
    taken = b""
    while outbox.size:
        data = outbox.take()
        assert len(data) <= max(CHUNK, *sizes)
        assert len(data) <= CHUNK or len(set(data)) == 1
        taken += data
    assert taken == sent


def test_cleared_it_is_empty() -> None:
    outbox = Outbox()
    outbox.put(b"frame")
    outbox.clear()
    assert outbox.size == 0
