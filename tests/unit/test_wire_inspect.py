from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.wire import inspect as wire
from wsplatform.wire.questions import QuestionError

ITEM = wire.SessionItem("id", "user", "127.0.0.1", 1.5, 2, "centrifuge-json", 5)


@pytest.mark.parametrize(
    "question",
    [
        wire.ListChannels(contains="a", pattern="b*", after="c", limit=7),
        wire.CountSubscribers("news"),
        wire.ListSessions(user="", channel="news", contains="a", after="b", limit=7, slow=True),
        wire.ListSessions(),
        wire.DescribeSession("id"),
        wire.EndSession("id", 3503, "why"),
        wire.Drain("1"),
        wire.PublishHere("news", b"{}", {"a": "b"}),
    ],
)
def test_a_question_arrives_as_it_was_asked(question: wire.Question) -> None:
    assert wire.decode_question(wire.encode(question)) == question


@pytest.mark.parametrize(
    "answer",
    [
        wire.Done(),
        wire.Unknown(),
        wire.Failed(106, "why"),
        wire.ChannelPage((("news", 2),), "news"),
        wire.Subscribers(3),
        wire.SessionPage((ITEM,), None),
        wire.SessionDetails(ITEM, ("news",), b"{}", None),
    ],
)
def test_an_answer_arrives_as_it_was_given(answer: wire.Answer) -> None:
    assert wire.decode_answer(wire.encode(answer)) == answer


@pytest.mark.parametrize("limit", [0, 1001, -1])
def test_a_limit_that_no_page_has_is_refused(limit: int) -> None:
    with pytest.raises(QuestionError):
        wire.decode_question(wire.encode(wire.ListChannels(limit=limit)))


@given(st.binary(max_size=50))
def test_other_bytes_are_refused(data: bytes) -> None:
    for decode in (wire.decode_question, wire.decode_answer):
        with suppress(QuestionError):
            decode(data)
