from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.wire import directory as wire
from wsplatform.wire.questions import QuestionError
from wsplatform.wire.server_api import NodeInfo

NODE = NodeInfo(uid="u", name="n1", version="1", num_clients=1, num_users=2, num_subs=3, num_channels=4, uptime=5)


@pytest.mark.parametrize(
    "question",
    [
        wire.ListChannels("chat:*"),
        wire.DescribeNode(),
        wire.EndSessions("u", "", frozenset({"a", "b"}), 3503, "why"),
        wire.EndSubscriptions("u", "c", "news"),
        wire.Subscribe("u", "c", "news"),
    ],
)
def test_a_question_arrives_as_it_was_asked(question: wire.Question) -> None:
    assert wire.decode_question(wire.encode(question)) == question


@pytest.mark.parametrize(
    "answer", [wire.Done(), wire.ChannelList({"news": 2}), wire.Description(NODE), wire.Failed(106, "why")]
)
def test_an_answer_arrives_as_it_was_given(answer: wire.Answer) -> None:
    assert wire.decode_answer(wire.encode(answer)) == answer


@given(st.binary(max_size=50))
def test_other_bytes_are_refused(data: bytes) -> None:
    for decode in (wire.decode_question, wire.decode_answer):
        with suppress(QuestionError):
            decode(data)


def test_a_question_of_another_release_is_refused() -> None:
    with pytest.raises(QuestionError):
        wire.decode_question(wire.encode([99, "x"]))


@pytest.mark.parametrize("code", [-1, 5, 1005, 2999, 5000, 65_536])
def test_sessions_cannot_be_ended_with_a_code_that_no_close_frame_may_have(code: int) -> None:
    with pytest.raises(QuestionError):
        wire.decode_question(wire.encode(wire.EndSessions("u", "", frozenset(), code, "why")))
