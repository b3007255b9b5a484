"""Interest: what a node believes that its peers know is true at every moment, whatever is lost and whenever."""

from __future__ import annotations

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from wsplatform.core.interest import MAX_RETIRED, InterestTable, OwnInterest, Waiters
from wsplatform.wire.cluster import Interest, InterestPart, InterestReset

CHANNELS = [f"channel-{number}" for number in range(6)]
PEERS = ["p1", "p2", "p3"]
Told = InterestReset | InterestPart | Interest


class Exchange(RuleBasedStateMachine):
    """One node and three peers, each behind an ordered link that may lose envelopes or break."""

    def __init__(self) -> None:
        super().__init__()
        self.own = OwnInterest()
        self.wanted: set[str] = set()
        self.tables = {peer: InterestTable() for peer in PEERS}
        self.links: dict[str, deque[Told]] = {}
        self.acks: dict[str, deque[int]] = {}
        self.lists: dict[str, object] = {}
        self.told: set[str] = set()

    @initialize()
    def begin(self) -> None:
        self.connect("p1")

    @rule(channel=st.sampled_from(CHANNELS))
    def want(self, channel: str) -> None:
        self.wanted.add(channel)
        self.own.want(channel)

    @rule(channel=st.sampled_from(CHANNELS))
    def unwant(self, channel: str) -> None:
        self.wanted.discard(channel)
        self.own.unwant(channel)

    @precondition(lambda self: self.own.changed)
    @rule(limit=st.integers(1, 40))
    def tell_change(self, limit: int) -> None:
        change = self.own.next_change(limit)
        for peer in self.told:
            self.links[peer].append(change)

    @rule(peer=st.sampled_from(PEERS))
    def connect(self, peer: str) -> None:
        if peer not in self.links:
            self.links[peer], self.acks[peer] = deque(), deque()
            self.own.connected(peer)
            self.lists[peer] = self.own.tell_all(20)

    @rule(peer=st.sampled_from(PEERS))
    def start_again(self, peer: str) -> None:
        if peer in self.links:
            self.told.discard(peer)
            self.lists[peer] = self.own.tell_all(20)

    @rule(peer=st.sampled_from(PEERS))
    def tell_part(self, peer: str) -> None:
        envelope = next(self.lists.get(peer, iter(())), None)  # type: ignore[call-overload]
        if envelope is not None:
            self.told.add(peer)
            self.links[peer].append(envelope)

    @rule(peer=st.sampled_from(PEERS))
    def disconnect(self, peer: str) -> None:
        self.links.pop(peer, None)
        self.acks.pop(peer, None)
        self.lists.pop(peer, None)
        self.told.discard(peer)
        self.own.disconnected(peer)

    @rule(peer=st.sampled_from(PEERS), lost=st.booleans())
    def arrive(self, peer: str, lost: bool) -> None:
        link = self.links.get(peer)
        if not link:
            return
        envelope = link.popleft()
        ack = None if lost else self.receive(self.tables[peer], envelope)
        if ack is not None:
            self.acks[peer].append(ack)

    @rule(peer=st.sampled_from(PEERS))
    def arrive_back(self, peer: str) -> None:
        if self.acks.get(peer):
            self.own.acknowledged(peer, self.acks[peer].popleft())

    @rule(peer=st.sampled_from(PEERS), limit=st.integers(1, 4))
    def scrub(self, peer: str, limit: int) -> None:
        self.tables[peer].scrub(limit)

    @rule()
    def settle(self) -> None:
        """With nothing lost any more, everybody ends up with exactly what is wanted, and knows it."""
        while self.own.changed:
            self.tell_change(20)
        for peer in list(self.links):
            self.start_again(peer)
            while self.lists[peer] is not None and (envelope := next(self.lists[peer], None)) is not None:  # type: ignore[call-overload]
                self.told.add(peer)
                self.links[peer].append(envelope)
            while self.links[peer]:
                self.arrive(peer, lost=False)
            while self.acks[peer]:
                self.arrive_back(peer)
            table = self.tables[peer]
            while table.scrub(2):
                pass
            assert {channel for channel in CHANNELS if table.peers(channel)} == self.wanted
            assert len(table) == len(self.wanted)
            assert not self.own.behind(peer)
        assert len(self.own) == len(self.wanted)
        assert all(self.own.want(channel) for channel in self.wanted)

    @invariant()
    def what_is_believed_to_be_known_is_known(self) -> None:
        for channel in self.wanted:
            if self.own.want(channel):
                for peer in self.links:
                    assert self.tables[peer].peers(channel) == ("node",)

    @staticmethod
    def receive(table: InterestTable, envelope: Told) -> int | None:
        if isinstance(envelope, InterestReset):
            table.reset("node", envelope.seq)
            return None
        if isinstance(envelope, InterestPart):
            return table.part("node", envelope)
        return table.change("node", envelope)


Exchange.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
test_exchange = Exchange.TestCase


def told(table: InterestTable, peer: str, *channels: str) -> None:
    table.reset(peer, 0)
    assert table.part(peer, InterestPart(1, channels, last=True)) == 0


def test_a_channel_has_the_peers_that_want_it() -> None:
    table = InterestTable()
    told(table, "a", "one", "both")
    told(table, "b", "two", "both")
    assert [table.peers(channel) for channel in ("one", "two", "both", "none")] == [("a",), ("b",), ("a", "b"), ()]
    assert table.change("a", Interest(1, ("two",), ("one",))) == 1
    assert [set(table.peers(channel)) for channel in ("one", "two", "both")] == [set(), {"a", "b"}, {"a", "b"}]


def test_the_old_list_holds_until_the_new_one_is_whole() -> None:
    table = InterestTable()
    told(table, "a", "old", "both")
    table.reset("a", 0)
    table.part("a", InterestPart(1, ("new", "both"), last=False))
    assert [table.peers(channel) for channel in ("old", "both", "new")] == [("a",)] * 3
    assert table.part("a", InterestPart(2, (), last=True)) == 0
    assert [table.peers(channel) for channel in ("old", "both", "new")] == [(), ("a",), ("a",)]


def test_a_forgotten_peer_is_gone_at_once_and_leaves_nothing_behind() -> None:
    table = InterestTable()
    told(table, "a", *(f"c{number}" for number in range(100)))
    told(table, "b", "c1")
    table.forget("a")
    assert table.peers("c0") == ()
    assert table.peers("c1") == ("b",)
    slices = 1
    while table.scrub(10):
        slices += 1
    assert slices >= 10
    assert len(table) == 1


def test_bits_are_used_again_only_when_they_are_clean() -> None:
    table = InterestTable()
    for round_ in range(50):
        told(table, "a", "mine")
        table.forget("a")
        told(table, "b", f"c{round_}")
        assert table.peers("mine") == ()
        table.scrub(1)
    assert table.peers("c49") == ("b",)


def test_a_change_out_of_line_is_not_acknowledged_and_silences_the_peer_until_a_new_list() -> None:
    table = InterestTable()
    told(table, "a", "one")
    assert table.change("a", Interest(2, ("two",), ())) is None
    assert table.change("a", Interest(1, ("two",), ())) is None
    told(table, "a", "two")
    assert table.peers("two") == ("a",)


def test_envelopes_of_an_unknown_peer_change_nothing() -> None:
    table = InterestTable()
    assert table.part("a", InterestPart(1, ("one",), last=True)) is None
    assert table.change("a", Interest(1, ("one",), ())) is None
    assert table.peers("one") == ()


def test_an_acknowledgement_of_what_was_never_sent_is_ignored() -> None:
    own = OwnInterest()
    own.connected("a")
    own.acknowledged("a", 7)
    own.acknowledged("stranger", 0)
    own.want("one")
    own.next_change()
    assert not own.want("one")


def test_without_peers_everything_is_known() -> None:
    own = OwnInterest()
    assert own.want("one")
    own.connected("a")
    assert not own.want("one")
    own.disconnected("a")
    assert own.want("one")


def test_changes_and_lists_are_cut_at_the_limit() -> None:
    own = OwnInterest()
    for number in range(1000):
        own.want(f"{number:05}")
    changes = []
    while own.changed:
        changes.append(own.next_change(limit=1000))
    assert [change.seq for change in changes] == list(range(1, 11))
    assert {channel for change in changes for channel in change.add} == {f"{number:05}" for number in range(1000)}
    reset, *parts = own.tell_all(limit=1000)
    assert reset == InterestReset(10)
    assert [part.last for part in parts if isinstance(part, InterestPart)] == [False] * 9 + [True]


def test_waiters_are_called_once_in_order_or_when_they_are_overdue() -> None:
    waiters, called = Waiters(), []

    def waiter(name: str):  # type: ignore[no-untyped-def]
        return lambda: called.append(name)

    def call(done) -> None:  # type: ignore[no-untyped-def]
        for each in done:
            each()

    waiters.add("x", None, 10.0, waiter("x"))
    waiters.add("x", None, 10.5, waiter("x again"))
    waiters.add("y", 3, 11.0, waiter("y"))
    waiters.add("z", None, 12.0, waiter("z"))
    call(waiters.reached(2))
    assert called == []
    waiters.told(Interest(4, ("x",), ()))
    call(waiters.reached(3))
    call(waiters.reached(4))
    assert called == ["y", "x", "x again"]
    call(waiters.overdue(11.9))
    assert called == ["y", "x", "x again"]
    call(waiters.overdue(12.0))
    waiters.told(Interest(5, ("z",), ()))
    call(waiters.reached(5))
    assert called == ["y", "x", "x again", "z"]


def test_a_peer_that_begins_lists_without_end_is_not_listened_to_until_they_are_cleared() -> None:
    table = InterestTable()
    table.reset("b", 0)
    assert table.part("b", InterestPart(1, ("room",), last=True)) == 0
    for _ in range(10_000):
        table.reset("a", 0)
        table.part("a", InterestPart(1, ("room",), last=False))
    assert table.part("a", InterestPart(2, ("room",), last=True)) is None
    assert len(table._retired) <= MAX_RETIRED
    assert table.peers("room") == ("b",)
    while table.scrub(10):
        pass
    table.reset("a", 7)
    assert table.part("a", InterestPart(1, ("room",), last=True)) == 7
    assert sorted(table.peers("room")) == ["a", "b"]
