from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.roster import (
    MAX_PREDECESSORS,
    REMEMBERED_SECONDS,
    Roster,
    Silence,
    check_member,
)
from wsplatform.errors import RequestError
from wsplatform.model import Instance, Member


def member(node_id: str = "a", incarnation: str = "1", port: int = 8000, **flags: bool) -> Member:
    return Member(
        node_id=node_id,
        incarnation=incarnation,
        cluster_url=f"ws://127.0.0.1:{port}",
        client_url=f"http://127.0.0.1:{port}",
        **flags,
    )


class TestRoster:
    def test_members_are_those_who_joined_and_did_not_leave(self):
        roster = Roster().join(member("b"), 0).join(member("a"), 1).leave([Instance("b", "1")], 2)
        assert roster.members == (member("a"),)
        assert roster.standing(Instance("b", "1")) == "absent"
        assert roster.standing(Instance("c", "1")) == "unknown"

    def test_the_same_instance_again_changes_nothing(self):
        roster = Roster().join(member(), 0)
        assert roster.join(member(ready=True), 5) is roster

    def test_the_same_instance_with_another_address_is_a_change(self):
        roster = Roster().join(member(), 0).join(member(port=9000), 1)
        assert roster.members == (member(port=9000),)

    def test_who_was_dropped_may_come_back(self):
        roster = Roster().join(member(), 0).leave([Instance("a", "1")], 1).join(member(), 2)
        assert roster.members == (member(),)

    def test_a_newer_instance_takes_the_seat_for_good(self):
        roster = Roster().join(member(incarnation="old"), 0).join(member(incarnation="new"), 1)
        assert roster.members == (member(incarnation="new"),)
        assert roster.standing(Instance("a", "old")) == "superseded"
        with pytest.raises(RequestError) as caught:
            roster.join(member(incarnation="old"), 2)
        assert (caught.value.status, caught.value.code) == (409, "superseded")
        gone = roster.leave([Instance("a", "new")], 3)
        with pytest.raises(RequestError, match="superseded"):
            gone.join(member(incarnation="old"), 4)

    def test_an_older_instance_that_leaves_does_not_take_the_newer_one_with_it(self):
        roster = Roster().join(member(incarnation="old"), 0).join(member(incarnation="new"), 1)
        assert roster.leave([Instance("a", "old")], 2) is roster

    def test_what_is_long_gone_is_forgotten_and_what_is_there_is_not(self):
        roster = Roster().join(member("a", "1"), 0).join(member("a", "2"), 1).join(member("b"), 2)
        roster = roster.leave([Instance("b", "1")], 3)
        assert roster.forget(3 + REMEMBERED_SECONDS - 2.5) is roster
        later = roster.forget(4 + REMEMBERED_SECONDS)
        assert later.members == (member("a", "2"),)
        assert set(later.seats) == {"a"}
        assert later.standing(Instance("a", "1")) == "unknown"

    def test_a_crash_loop_does_not_fill_the_memory(self):
        roster = Roster()
        for number in range(MAX_PREDECESSORS + 20):
            roster = roster.join(member(incarnation=str(number)), number)
        assert len(roster.seats["a"].predecessors) == MAX_PREDECESSORS


steps = st.lists(
    st.tuples(st.sampled_from(["join", "leave", "forget"]), st.sampled_from("ab"), st.sampled_from("1234")), max_size=40
)


@given(steps)
def test_the_seat_belongs_to_the_instance_that_registered_first_last(script):
    """Against the rule in plain words: of the instances of an id, in order of their first registration, the last."""
    roster = Roster()
    order: dict[str, list[str]] = {"a": [], "b": []}
    present: dict[str, str] = {}
    for now, (what, node_id, incarnation) in enumerate(script):
        if what == "join":
            if incarnation in order[node_id][:-1]:
                with pytest.raises(RequestError, match="superseded"):
                    roster.join(member(node_id, incarnation), now)
                continue
            roster = roster.join(member(node_id, incarnation), now)
            if incarnation not in order[node_id]:
                order[node_id].append(incarnation)
            present[node_id] = incarnation
        elif what == "leave":
            roster = roster.leave([Instance(node_id, incarnation)], now)
            if present.get(node_id) == incarnation:
                del present[node_id]
        else:
            assert roster.forget(now) is roster
        assert [(m.node_id, m.incarnation) for m in roster.members] == sorted(present.items())


class TestMember:
    @pytest.mark.parametrize(
        "change",
        [
            {"node_id": ""},
            {"node_id": "a b"},
            {"node_id": "a;disable server"},
            {"node_id": "a\n"},
            {"node_id": "é"},
            {"node_id": "a" * 65},
            {"incarnation": ""},
            {"incarnation": "1/2"},
            {"incarnation": "x" * 65},
            {"client_url": ""},
            {"client_url": "ws://127.0.0.1:1"},
            {"client_url": "http://127.0.0.1:0"},
            {"client_url": "http://127.0.0.1:99999"},
            {"client_url": "http://user:secret@127.0.0.1:80"},
            {"client_url": "http://127.0.0.1:80\nserver evil"},
            {"client_url": "http://127.0.0.1:80 check"},
            {"client_url": "http://[::1"},
            {"cluster_url": "http://127.0.0.1:80"},
            {"cluster_url": "ws://"},
            {"node_id": "registry"},
            {"role": "registry"},
            {"role": "registry", "node_id": "registry"},
            {"role": "registry", "node_id": "registry", "client_url": ""},
        ],
    )
    def test_what_could_hurt_others_is_refused(self, change):
        fields = {
            "node_id": "a",
            "incarnation": "1",
            "cluster_url": "ws://127.0.0.1:1",
            "client_url": "http://127.0.0.1:1",
        }
        with pytest.raises(RequestError) as caught:
            check_member(Member(**{**fields, **change}))
        assert (caught.value.status, caught.value.code) == (400, "invalid_member")

    def test_usual_ones_pass(self):
        check_member(member())
        check_member(
            Member(node_id="n-1.x_y", incarnation="aZ_-", cluster_url="", client_url="https://[2001:db8::1]:8443")
        )
        check_member(
            Member(node_id="n", incarnation="1", cluster_url="wss://n.example/mesh", client_url="https://n.example")
        )
        check_member(Member(node_id="registry", incarnation="1", cluster_url="", client_url="", role="registry"))


DEAD, LATE = 5.0, 1.25
A, B = Instance("a", "1"), Instance("b", "1")


class TestSilence:
    def test_who_is_silent_for_the_time_is_named_until_it_is_forgotten_or_heard(self):
        silence = Silence(DEAD, LATE, 0.0)
        silence.heard(A, 0.0)
        silence.heard(B, 0.0)
        for now in (1.0, 2.0, 3.0, 4.0):
            silence.heard(B, now)
            assert silence.check(now) == ()
        assert silence.check(5.0) == (A,)
        assert silence.check(5.5) == (A,)
        silence.heard(A, 6.0)
        assert not silence.silent(A, 6.0)
        assert silence.check(6.0) == ()
        silence.forget(A)
        assert silence.silent(A, 6.0)
        for now in (7.0, 8.0):
            assert silence.check(now) == ()

    def test_after_a_pause_of_the_registry_everybody_gets_the_full_time(self):
        silence = Silence(DEAD, LATE, 0.0)
        silence.heard(A, 0.0)
        assert silence.check(1.0) == ()
        assert silence.check(60.0) == ()
        for now in (61.0, 62.0, 63.0, 64.0, 64.9):
            assert silence.check(now) == ()
        assert silence.check(65.0) == (A,)

    @given(st.lists(st.tuples(st.booleans(), st.floats(0.01, 10.0)), max_size=60))
    def test_never_too_early_and_never_too_late(self, script):
        """Dropped after dead_seconds of silence in which the registry itself was awake throughout, and then at once."""
        silence = Silence(DEAD, LATE, 0.0)
        now = heard = awake = 0.0
        silence.heard(A, heard)
        for beat, pause in script:
            now += pause
            if pause > LATE:
                awake = now
            dropped = silence.check(now)
            assert bool(dropped) == (now - heard >= DEAD and now - awake >= DEAD)
            if beat:
                heard = now
                silence.heard(A, now)
