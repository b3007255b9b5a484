"""What `wsplatform top` makes of the registry's answers, and how it fits them into a terminal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.cli.cells import width
from wsplatform.cli.top_figures import Snapshot, Watch
from wsplatform.cli.top_frame import KEYS, Size, frame

NOW = 1_790_000_000.0


def node(
    name: str, uptime: float = 100.0, *, incarnation: str = "a", ready: bool = True, **status: Any
) -> dict[str, Any]:
    told = {"uptime": uptime, "sessions": 0, "memory_bytes": 2**20, "lag": 0.001, "delivery_p99": None, **status}
    return {"id": name, "incarnation": incarnation, "ready": ready, "draining": False, "status": told}


def link(state: str = "up", *, dropped: int = 0, gaps: int = 0) -> dict[str, Any]:
    lost = {"expired": dropped} if dropped else {}
    where = {"node": "n1", "peer": "n2", "incarnation": "b", "state": state, "since": NOW - 10}
    return {**where, "queued": 1, "unacknowledged": 2, "dropped": lost, "gaps": gaps}


def shot(count: int = 3, links: tuple[dict[str, Any], ...] = (), channel: str = "news") -> Snapshot:
    watch = Watch()
    for at in (NOW, NOW + 1):
        nodes = [node(f"node-{n}", 100 + at - NOW, publications=n * (at - NOW), sessions=n) for n in range(count)]
        busy = [{"channel": f"{channel}:{n}", "publications": 9.5, "subscribers": n} for n in range(20)]
        taken = watch.take(at, nodes, links, busy)
    return taken


def texts(taken: Snapshot, columns: int = 80, rows: int = 24, sort: str = "name", trouble: str = "") -> list[str]:
    return [line.text for line in frame(taken, Size(columns, rows), sort, trouble, keys=True)]


def test_rates_are_what_was_counted_between_two_reports() -> None:
    watch = Watch()
    (first,) = watch.take(NOW, [node("n1", 10, publications=100, cpu_seconds=1.0)], [], []).nodes
    assert (first.publications, first.cpu) == (None, None)
    (second,) = watch.take(NOW + 2, [node("n1", 12, publications=150, cpu_seconds=1.5)], [], []).nodes
    assert (second.publications, second.cpu) == (25.0, 0.25)
    (same,) = watch.take(NOW + 2.5, [node("n1", 12, publications=150, cpu_seconds=1.5)], [], []).nodes
    assert (same.publications, same.silent) == (25.0, 0.0)


def test_a_node_that_was_started_again_begins_anew() -> None:
    watch = Watch()
    watch.take(NOW, [node("n1", 10, publications=100)], [], [])
    (again,) = watch.take(NOW + 2, [node("n1", 1, incarnation="b", publications=5)], [], []).nodes
    assert again.publications is None


def test_a_node_that_reports_no_more_is_silent() -> None:
    watch = Watch()
    watch.take(NOW, [node("n1", 10)], [], [])
    taken = watch.take(NOW + 12, [node("n1", 10)], [], [])
    assert taken.nodes[0].silent == 12
    assert any("silent 12" in line for line in texts(taken))


def test_a_node_that_has_not_reported_yet_is_shown() -> None:
    registered = {**node("n1", ready=False), "status": None}
    taken = Watch().take(NOW, [registered], [], [])
    assert any(line.startswith("n1 ") and "not ready" in line for line in texts(taken))


def test_links_are_shown_that_are_not_up_or_have_just_lost_something() -> None:
    watch = Watch()
    assert watch.take(NOW, [], [link(dropped=5)], []).unwell == ()
    grown = watch.take(NOW + 1, [], [link(dropped=5, gaps=2)], [])
    assert [(found.lost, found.waiting_bytes) for found in grown.unwell] == [(7, 3)]
    assert watch.take(NOW + 30, [], [link(dropped=5, gaps=2)], []).unwell != ()
    assert watch.take(NOW + 90, [], [link(dropped=5, gaps=2)], []).unwell == ()
    away = watch.take(NOW + 91, [], [link("connecting", dropped=5, gaps=2)], [])
    assert (away.links, away.links_up) == (1, 0)
    assert any(line.startswith("n1 → n2  connecting  for 101") or "for 2 min" in line for line in texts(away))


def test_what_a_node_has_lost_is_told_for_a_minute_even_when_the_link_is_no_more() -> None:
    watch = Watch()
    first = watch.take(NOW, [node("n1", 10, dropped=5)], [link(dropped=5)], [])
    assert (first.lost, first.nodes[0].lost) == (5, 0)
    grown = watch.take(NOW + 1, [node("n1", 11, dropped=117)], [], [])
    assert (grown.lost, grown.nodes[0].lost) == (117, 112)
    assert "n1  lost 112 publications to other nodes in the last minute" in texts(grown)
    assert watch.take(NOW + 59, [node("n1", 69, dropped=117)], [], []).nodes[0].lost == 112
    assert watch.take(NOW + 62, [node("n1", 72, dropped=117)], [], []).nodes[0].lost == 0
    again = watch.take(NOW + 63, [node("n1", 1, incarnation="b")], [], [])
    assert (again.lost, again.nodes[0].lost) == (0, 0)


def test_a_wrong_clock_is_told() -> None:
    taken = Watch().take(NOW, [{**node("n1"), "clock_ahead": -120.0}], [], [])
    assert "n1  its clock is 2 min behind the registry's" in texts(taken)


def test_eighty_columns_show_what_matters() -> None:
    head = texts(shot())[3]
    assert head.split() == ["NODE", "STATE", "SESSIONS", "PUB/S", "DELIV/S", "P99", "CPU", "LAG", "MEMORY"]
    assert len(texts(shot(), columns=200)[3].split()) > 12
    assert texts(shot(), columns=30)[3].split() == ["NODE", "STATE", "SESSIONS"]


@pytest.mark.parametrize("sort", KEYS.values())
def test_the_busiest_nodes_are_on_top(sort: str) -> None:
    names = [line.split()[0] for line in texts(shot(), sort=sort) if line.startswith("node-")]
    assert names == (["node-2", "node-1", "node-0"] if sort in ("sessions", "publications") else sorted(names))


def test_all_keys_are_told_on_eighty_columns() -> None:
    assert texts(shot(), sort="deliveries")[-1] == (
        "q quit | n name s sessions p pub/s [d deliv/s] t p99 l lag c cpu m memory"
    )


def test_what_does_not_fit_is_counted() -> None:
    lines = texts(shot(50), rows=24)
    assert len(lines) == 24
    assert any(line.startswith("… ") and line.endswith(" more") for line in lines)
    assert "LINKS" in "\n".join(lines)
    assert "BUSIEST" in "\n".join(lines)


def test_the_trouble_is_told_on_top() -> None:
    assert texts(shot(), trouble="STALE since 09:00:00Z: why")[2] == "STALE since 09:00:00Z: why"


@given(
    st.integers(1, 250), st.integers(1, 80), st.integers(0, 60), st.text(max_size=30), st.sampled_from([*KEYS.values()])
)
def test_it_fits_into_every_terminal(columns: int, rows: int, count: int, channel: str, sort: str) -> None:
    lines = texts(shot(count, (link("connecting"),), channel), columns, rows, sort)
    assert len(lines) <= rows
    assert all(width(line) <= columns and line.isprintable() for line in lines)
