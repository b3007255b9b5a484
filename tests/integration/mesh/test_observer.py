"""A peer that has no clients: it may ask and watch, and nobody needs it or waits for it."""

from __future__ import annotations

import asyncio

from tests.integration.mesh.conftest import Mesh, MeshNode
from tests.integration.mesh.test_relay import want
from tests.support.wait import eventually
from wsplatform.transports.base import Peer

OBSERVER = "0"  # of two nodes the lower id dials


async def watched(mesh: Mesh) -> tuple[MeshNode, MeshNode, MeshNode]:
    """Two nodes that know all about each other, and an observer that is connected with both."""
    a, b, observer = [await mesh.add(node_id) for node_id in ("a", "b", OBSERVER)]
    introduce(a, b, observer)
    await eventually(lambda: observer.relay.complete and a.relay.settled and b.relay.settled)
    return a, b, observer


def introduce(a: MeshNode, b: MeshNode, observer: MeshNode) -> None:
    nodes = frozenset((a.node.peer, b.node.peer))
    for node in (a, b):
        node.relay.set_peers(nodes | {Peer(observer.node.peer.instance)}, frozenset((OBSERVER,)))
    observer.relay.set_peers(nodes)


async def test_it_is_asked_nothing_told_nothing_and_in_no_list_and_may_ask(mesh: Mesh) -> None:
    a, b, observer = await watched(mesh)
    await want(a, "room")
    for node in (a, b, observer):
        node.survey.serve("who", lambda params, node=node: node.id.encode())
    answers = await observer.survey.ask("who", b"", 1)
    assert (answers.replies, answers.missing) == ({"a": b"a", "b": b"b"}, ())
    assert (await observer.survey.ask("who", b"", 1, "b")).replies == {"b": b"b"}
    assert (await observer.survey.ask("who", b"", 1, "c")).missing == ()
    assert (await a.survey.ask("who", b"", 1)).replies == {"b": b"b"}
    assert [link.node_id for link in a.relay.links()] == ["b"]
    assert a.relay.peers == ("b",)
    assert observer.relay._interest.wanted_by("room") == ()
    assert b.relay._interest.wanted_by("room") == ("a",)


async def test_what_it_watches_is_sent_to_it_until_it_is_disconnected(mesh: Mesh) -> None:
    a, b, observer = await watched(mesh)
    await want(observer, "room")
    a.publish("room", 1)
    b.publish("room", 2)
    b.publish("elsewhere", 3)
    await eventually(lambda: sorted(observer.numbers("room")) == [1, 2])
    await observer.node.stop()
    await eventually(lambda: not a.relay.reaches(OBSERVER))
    a.publish("room", 4)
    assert a.relay._interest.wanted_by("room") == ()


async def test_after_a_break_it_sees_again_what_it_watches(mesh: Mesh) -> None:
    a, _, observer = await watched(mesh)
    await want(observer, "room")
    mesh.cut(a, observer)
    await eventually(lambda: not a.relay.reaches(OBSERVER))
    mesh.heal(a, observer)
    await eventually(lambda: a.relay._interest.wanted_by("room") == (OBSERVER,))
    a.publish("room", 1)
    await eventually(lambda: observer.numbers("room") == [1])


async def test_nobody_waits_for_one_that_hangs_is_away_or_was_never_there(mesh: Mesh) -> None:
    a, b, observer = [await mesh.add(node_id) for node_id in ("a", "b", OBSERVER)]
    for node in (a, b):
        peers = frozenset(node_.node.peer for node_ in (a, b)) | {Peer(observer.node.peer.instance)}
        node.relay.set_peers(peers, frozenset((OBSERVER,)))
    await eventually(lambda: a.relay.settled and b.relay.settled)  # although it has not connected
    introduce(a, b, observer)
    await eventually(lambda: observer.relay.complete)
    await want(observer, "room")
    observer.relay.received = lambda peer_id, envelopes: None  # type: ignore[method-assign]
    assert await longest_wait(a) < 0.3
    await observer.node.stop()
    assert await longest_wait(a) < 0.3
    assert a.relay.late == b.relay.late == 0


async def test_what_it_misses_is_no_loss_and_its_next_run_begins_anew(mesh: Mesh, logged: list[str]) -> None:
    a, b, observer = await watched(mesh)
    await want(observer, "room")
    mesh.cut(a, observer)
    for number in range(100):
        a.publish("room", number)
    await observer.node.stop()
    mesh.nodes.remove(observer)
    again = await mesh.add(OBSERVER)
    introduce(a, b, again)
    mesh.heal(a, again)
    await eventually(lambda: again.relay.complete)
    assert a.relay.dropped == 0
    assert not [line for line in logged if "dropped" in line]
    await want(again, "room")
    a.publish("room", 7)
    await eventually(lambda: again.numbers("room") == [7])


async def longest_wait(node: MeshNode) -> float:
    """For the others to know of a channel that is new; those that do not answer are waited for 0.5 s."""
    loop = asyncio.get_running_loop()
    longest = 0.0
    for number in range(10):
        began = loop.time()
        await want(node, f"{began}:{number}")
        longest = max(longest, loop.time() - began)
    return longest
