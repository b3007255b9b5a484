"""How `wsplatform bench` spreads clients over channels and servers."""

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from wsplatform.cli.bench_book import Book, Plan

plans = st.builds(
    Plan,
    run=st.just("r"),
    servers=st.integers(1, 5).map(lambda count: tuple(f"http://n{number}" for number in range(count))),
    channels=st.integers(1, 40).map(lambda count: tuple(f"c:{number}" for number in range(count))),
    clients=st.integers(1, 60),
    rate=st.just(1.0),
    seconds=st.just(1.0),
    size=st.just(64),
    through=st.sampled_from(["api", "client"]),
    key=st.just("k"),
    token=st.just(""),
    token_secret=st.just(""),
    connect_rate=st.just(0.0),
)


@given(plans)
def test_every_client_has_a_channel_and_every_channel_its_share_of_clients(plan: Plan) -> None:
    subscribers = Counter(channel for client in range(plan.clients) for channel in plan.channels_of(client))
    assert all(plan.channels_of(client) for client in range(plan.clients))
    assert set(subscribers) == set(plan.channels)
    assert max(subscribers.values()) - min(subscribers.values()) <= 1


@given(plans)
def test_the_subscribers_of_a_channel_take_the_servers_in_turn(plan: Plan) -> None:
    for channel in plan.channels:
        servers = [plan.server_of(client) for client in range(plan.clients) if channel in plan.channels_of(client)]
        count = len(plan.servers)
        assert all((after - before) % count == 1 % count for before, after in pairwise(servers))


@given(plans)
def test_publishers_are_as_many_as_servers_and_never_more_than_clients_that_can_be_one(plan: Plan) -> None:
    for channel, streams in Book(plan).streams.items():
        subscribers = sum(channel in plan.channels_of(client) for client in range(plan.clients))
        most = len(plan.servers) if plan.through == "api" else min(len(plan.servers), subscribers)
        assert len(streams) == most
