"""A transport with a fault fails the contract: each case of it finds one at least, and lets pass what has none."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from tests.support import faulty_transports as faulty
from tests.support.faulty_transports import Faithful
from wsplatform.settings import ClusterTable
from wsplatform.testing import OneLoopContract, TransportContract
from wsplatform.testing.transport_nodes import SETTINGS, TransportNode
from wsplatform.transports import memory, websocket
from wsplatform.transports.base import Transport, TransportContext

FAULTS: dict[str, list[type[Faithful]]] = {
    # Who is up
    "two_nodes_that_name_each_other_are_up_for_each_other": [faulty.NeverUp, faulty.UpTwice],
    "a_node_is_not_up_for_one_that_has_not_named_it": [faulty.Inviting],
    "naming_the_same_peers_again_changes_nothing": [faulty.Restarting],
    "a_node_is_no_peer_of_itself_whatever_the_view_says": [faulty.Selfish],
    "a_peer_that_is_not_named_any_more_is_dropped_and_comes_back_when_it_is": [faulty.Adding, faulty.NeverDown],
    "a_peer_that_is_not_there_disturbs_nobody": [faulty.Perfectionist],
    "hundreds_of_peers_that_are_not_there_disturb_nobody": [faulty.Fragile],
    "a_stopped_peer_is_down_and_its_next_incarnation_comes_up": [faulty.NeverDown, faulty.Mute],
    "an_old_incarnation_gives_way_to_the_one_that_the_view_names": [faulty.Careless],
    "an_instance_is_not_taken_for_another_of_the_same_id": [faulty.Careless],
    "a_view_that_changes_all_the_time_ends_in_what_it_said_last": [faulty.Slow],
    "a_broken_connection_is_told_and_comes_back": [faulty.Resigned],
    "a_broken_connection_is_no_matter_to_the_others": [faulty.Panicking],
    # What arrives
    "envelopes_arrive_in_the_order_of_sending": [faulty.Reordering, faulty.Doubling, faulty.Losing],
    "an_envelope_does_not_wait_for_the_next_one": [faulty.Waiting, faulty.Numeric],
    "small_envelopes_of_every_size_arrive_whole": [faulty.CuttingSmallOnes],
    "envelopes_arrive_whole_around_every_limit_of_size": [faulty.Truncating],
    "bytes_of_every_kind_arrive_as_they_were_sent": [faulty.Splitting, faulty.Views],
    "an_envelope_that_is_too_large_is_refused_and_disturbs_nothing": [faulty.Unlimited],
    "nothing_comes_to_the_sender_or_to_a_third": [faulty.Echoing, faulty.ToAll],
    "an_unknown_peer_is_refused": [faulty.Raising],
    "too_much_is_refused_at_once_and_what_was_accepted_arrives": [faulty.Hoarding, faulty.Blocking],
    "both_ways_at_once_what_is_refused_and_sent_again_arrives_in_order": [faulty.Overtaking],
    "a_full_queue_for_one_peer_is_no_matter_to_the_others": [faulty.OneQueue],
    "events_may_send": [faulty.Stuttering, faulty.Inline],
    "a_peer_that_is_told_down_accepts_nothing_from_that_moment": [faulty.Optimistic],
    "many_nodes_talk_all_to_all": [faulty.Mixing],
    "over_breaks_nothing_comes_twice_or_out_of_order": [faulty.Replaying],
    # The end
    "stop_tells_down_and_then_nothing": [faulty.Talkative, faulty.Leaking, faulty.Unhandled],
    "stop_may_be_called_again_and_without_a_start": [faulty.Once],
    "stop_while_peers_are_being_connected_leaves_nobody_up": [faulty.StillUp],
    "stopping_one_is_no_matter_to_the_others": [faulty.Contagious],
    "what_comes_and_goes_leaves_nothing_open": [faulty.Littering],
}
SILENCE: dict[str, type[Faithful]] = {
    "a_peer_that_stands_still_is_told_in_time_and_comes_back": faulty.Patient,
    "what_is_sent_to_a_peer_that_stands_still_never_waits_and_never_comes_twice": faulty.Replaying,
    "a_loop_with_much_to_do_is_not_taken_for_a_dead_one": faulty.Hasty,
    "a_peer_that_reads_slowly_is_not_taken_for_a_dead_one": faulty.Pinging,
    "stop_does_not_wait_for_a_peer_that_stands_still": faulty.Polite,
}
STALL = "nobody_is_taken_for_dead_when_our_own_loop_stood_still"


@pytest.fixture(autouse=True)
def _littered() -> Iterator[None]:
    yield
    while faulty.KEPT:
        faulty.KEPT.pop().close()


def on_memory(fault: type[Faithful]) -> OneLoopContract:
    hub = memory.MemoryHub()

    class Wrapped(OneLoopContract):
        patience = 0.3

        def create(self, context: TransportContext) -> Transport:
            return fault(hub.create(context), context)

        def cut(self, left: TransportNode, right: TransportNode) -> None:
            hub.cut(left.id, right.id)

        def heal(self, left: TransportNode, right: TransportNode) -> None:
            hub.heal(left.id, right.id)

    return Wrapped()


def on_websocket(fault: type[Faithful]) -> TransportContract:
    class Listening(fault):  # type: ignore[misc, valid-type]
        def acceptors(self) -> object:
            return self.inner.acceptors()

    class Wrapped(TransportContract):
        patience = 2.5

        def settings(self) -> ClusterTable:
            return msgspec.structs.replace(SETTINGS, dead_seconds=0.5, ping_seconds=0.1)

        def create(self, context: TransportContext) -> Transport:
            inner = msgspec.structs.replace(context.settings, **fault.settings)
            own = TransportContext(inner, context.tasks, context.sweep)
            return Listening(websocket.create(own), context)

    return Wrapped()


def run(contract: OneLoopContract, case: str) -> None:
    getattr(contract, f"test_{case}")()


@pytest.mark.parametrize(("case", "fault"), [(case, fault) for case, faults in FAULTS.items() for fault in faults])
def test_a_fault_is_found(case: str, fault: type[Faithful]) -> None:
    with pytest.raises((AssertionError, TimeoutError, KeyError)):
        run(on_memory(fault), case)


@pytest.mark.parametrize("case", FAULTS)
def test_what_has_no_fault_passes_in_the_same_time(case: str) -> None:
    run(on_memory(Faithful), case)


def test_a_loop_that_stood_still_shows_who_looks_at_the_clock_only() -> None:
    with pytest.raises(AssertionError):
        run(on_memory(faulty.Nervous), STALL)


@pytest.mark.parametrize("case", SILENCE)
def test_a_fault_in_silence_is_found(case: str) -> None:
    with pytest.raises((AssertionError, TimeoutError)):
        run(on_websocket(SILENCE[case]), case)


def test_every_case_has_found_a_fault() -> None:
    cases = {name.removeprefix("test_") for name in dir(TransportContract) if name.startswith("test_")}
    assert cases == {*FAULTS, *SILENCE, STALL}
