from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.guests import Guests


def test_a_crowd_pushes_out_itself_only() -> None:
    guests = Guests[str](4)
    assert [guests.add(f"own {number}", "192.0.2.1") for number in range(2)] == [None, None]
    assert [guests.add(f"crowd {number}", f"2001:db8::{number}") for number in range(2)] == [None, None]
    assert guests.add("crowd 2", "2001:db8::ffff") == "crowd 0"
    assert guests.add("crowd 3", "2001:db8::1") == "crowd 1"
    guests.discard("own 0")
    guests.discard("own 0")
    assert guests.add("other", "192.0.2.2") is None
    assert len(guests) == 4


def test_of_one_source_the_oldest_gives_way() -> None:
    guests = Guests[int](3)
    assert [guests.add(number, "") for number in range(6)] == [None, None, None, 0, 1, 2]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 4), st.booleans()), max_size=200))
def test_it_stays_bounded_and_only_who_has_the_most_gives_way(events: list[tuple[int, int, bool]]) -> None:
    guests = Guests[int](8)
    there: dict[int, int] = {}
    for guest, place, leaves in events:
        if leaves:
            guests.discard(guest)
            there.pop(guest, None)
        elif guest not in there:
            there[guest] = place
            gone = guests.add(guest, f"192.0.2.{place}")
            if gone is not None:
                counts = [list(there.values()).count(place) for place in range(5)]
                assert counts[there.pop(gone)] == max(counts)
        assert len(guests) == len(there) <= 8
