"""Who is asked, what counts as an answer, and who is said to be missing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wsplatform.errors import CommandError, PlatformError
from wsplatform.model import Instance, Publication
from wsplatform.node.inquiry import Inquiry
from wsplatform.node.inspection import Inspection
from wsplatform.node.sessions import Sessions
from wsplatform.node.subscriptions import Subscriptions
from wsplatform.node.survey import INTERNAL, TOO_MANY, UNKNOWN_METHOD, Answers, LateHandler
from wsplatform.web.admin.cluster import answers_of
from wsplatform.wire import inspect as wire

THREE = wire.encode(wire.Subscribers(3))


class Peers:
    """Gives the same answers to every question."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def serve_late(self, method: str, handler: LateHandler) -> None: ...

    async def ask(self, method: str, params: bytes, timeout: float, only: str = "") -> Answers:
        assert method == wire.METHOD
        wire.decode_question(params)
        self.asked.append(only)
        return self.answers


class Alone:
    """Subscriptions' way to the mesh; and Orders."""

    def want(self, channel: str, done: Callable[[], None]) -> bool:
        return True

    def unwant(self, channel: str) -> None: ...
    def publish(self, channel: str, publication: Publication) -> None: ...
    def end(self) -> None: ...


def own() -> Inspection:
    return Inspection(Instance("own", "1"), Sessions(), Subscriptions(Alone()), Alone())


async def test_whoever_gives_no_answer_is_missing_for_whatever_reason() -> None:
    errors = {"old": UNKNOWN_METHOD, "busy": TOO_MANY, "broken": INTERNAL}
    peers = Peers(Answers({"good": THREE, "odd": b"\xc1", "new": wire.encode(wire.Done())}, errors, ("silent",)))
    found = await Inquiry(peers, 0.1, own()).ask(wire.CountSubscribers("a"))
    assert found.missing == ("broken", "busy", "odd", "old", "silent")
    answers, missing = answers_of(found, wire.Subscribers)
    assert answers == {"good": wire.Subscribers(3), "own": wire.Subscribers(0)}
    assert missing == ["broken", "busy", "new", "odd", "old", "silent"]


async def test_the_node_of_this_process_is_asked_without_a_detour_and_only_where_it_is_meant() -> None:
    peers = Peers(Answers({}, {}, ()))
    inquiry = Inquiry(peers, 0.1, own())
    assert (await inquiry.ask(wire.CountSubscribers("a"), "own")).answers == {"own": wire.Subscribers(0)}
    assert (await inquiry.ask(wire.CountSubscribers("a"), "other")).answers == {}
    assert (await inquiry.ask(wire.ListChannels())).answers == {"own": wire.ChannelPage((), None)}
    assert (await inquiry.ask(wire.Drain("2"), "own")).answers == {"own": wire.Unknown()}


@pytest.mark.parametrize(
    ("replies", "code"),
    [
        ({"n": wire.encode(wire.Failed(102, "no rule"))}, "unknown_channel"),
        ({"n": wire.encode(wire.Failed(106, "too large"))}, "limit_exceeded"),
        ({"n": wire.encode(wire.Failed(999, "of a later release"))}, "internal"),
        ({}, "internal"),
    ],
)
async def test_a_publication_that_a_node_refuses_or_does_not_answer_fails(replies: dict[str, bytes], code: str) -> None:
    peers = Peers(Answers(replies, {}, () if replies else ("n",)))
    with pytest.raises(PlatformError) as caught:
        await Inquiry(peers, 0.1).publish("a", Publication(b"1"), "n")  # type: ignore[arg-type]
    assert isinstance(caught.value, CommandError)
    assert caught.value.code == code
    assert peers.asked == ["n"]
