"""Two ends of a conversation, on a carrier that loses what it likes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.handshake import SessionKeys
from wsplatform.errors import HandshakeError
from wsplatform.model import Instance
from wsplatform.transports.base import Peer
from wsplatform.transports.nats_conversation import WINDOW_BYTES, Conversation, Terms
from wsplatform.transports.nats_opening import Subjects, address

TERMS = Terms(outbox=4_000_000, envelope=2_000_000, heartbeat=1.0, dead=3.0)
PAYLOAD = 5000
SUBJECTS = Subjects("in", "out")


def pair() -> tuple[Conversation, Conversation]:
    there, back = b"1" * 32, b"2" * 32
    left = Conversation(Peer(Instance("b", "1")), TERMS, SessionKeys(there, back), SUBJECTS, b"")
    right = Conversation(Peer(Instance("a", "1")), TERMS, SessionKeys(back, there), SUBJECTS, b"")
    for side in (left, right):
        side.begin(0.0, PAYLOAD)
    return left, right


def take(side: Conversation) -> list[bytes]:
    taken = []
    while (message := side.next()) is not None:
        assert len(message) <= PAYLOAD
        taken.append(message)
    return taken


@given(st.lists(st.integers(0, 40_000), max_size=30), st.data())
def test_whatever_is_lost_the_rest_is_whole_and_in_order_and_the_way_stays_free(sizes, data):
    left, right = pair()
    sent = [number.to_bytes(4, "big") + bytes(size) for number, size in enumerate(sizes)]
    got = []
    for envelope in sent:
        assert left.send(envelope)
        for message in take(left):
            if data.draw(st.integers(0, 9)):
                got += right.open(message)
    order = [sent.index(envelope) for envelope in got]
    assert order == sorted(set(order))
    left.look(1.0)
    for now in range(2, 6):  # signs of life pass, and what is under way is counted anew
        for one, other in ((left, right), (right, left)):
            one.look(float(now))
            for message in take(one):
                got += other.open(message)
    assert left.send(b"after")
    assert [envelope for message in take(left) for envelope in right.open(message)] == [b"after"]


def test_no_more_than_the_window_is_under_way_until_it_is_heard_of():
    left, right = pair()
    while left.send(bytes(10_000)):
        pass
    under_way = take(left)
    assert 0.9 * WINDOW_BYTES < sum(map(len, under_way)) < 1.1 * WINDOW_BYTES
    got = [envelope for message in under_way for envelope in right.open(message)]
    for _ in range(20):
        for message in take(right):
            left.open(message)
        got += [envelope for message in take(left) for envelope in right.open(message)]
    assert len(got) == TERMS.outbox // 10_000


def test_what_comes_again_or_from_elsewhere_is_refused():
    left, right = pair()
    other, _ = pair()
    assert left.send(b"x")
    (message, *_), (forged, *_) = take(left), [other._seal(b"x") + b"x"]
    assert right.open(message) == [b"x"]
    for wrong in (message, forged, b"", message[:-1]):
        try:
            right.open(wrong)
        except HandshakeError:
            continue
        raise AssertionError


def test_the_last_word_comes_after_all_that_was_sent():
    left, right = pair()
    while left.send(bytes(100_000)):
        pass
    left.leave("stopped")
    assert not left.send(b"x")
    got = 0
    while not right.left:
        for message in take(left):
            got += len(right.open(message))
        for message in take(right):
            left.open(message)
    assert (got, right.left, left.ended) == (40, "stopped", True)


@given(st.text(max_size=20), st.text(max_size=20))
def test_addresses_are_two_tokens_without_a_meaning_to_nats(node_id, incarnation):
    tokens = address(Instance(node_id, incarnation)).split(".")
    assert len(tokens) == 2
    assert not set("".join(tokens)) & set(" *>\t\r\n")
