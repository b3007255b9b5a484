"""The PyPI package `cent`, as it is, against a running node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import cent
import pytest

from tests.support.api_nodes import Nodes, subscribed, unsubscribed
from tests.support.client import Client
from tests.support.wait import eventually

Call = Callable[[Any], Any]


@pytest.fixture(params=["sync", "async"])
async def cent_client(request: pytest.FixtureRequest, nodes: Nodes) -> Any:
    """`await cent_client("publish", request)` with either class of the package."""
    url = f"{nodes[0].url}/api"
    if request.param == "sync":
        with cent.Client(url, nodes.key) as client:

            async def call(method: str, params: Any) -> Any:
                return await asyncio.to_thread(getattr(client, method), params)

            yield call
    else:
        async with cent.AsyncClient(url, nodes.key) as asynchronous:

            async def call(method: str, params: Any) -> Any:
                return await getattr(asynchronous, method)(params)

            yield call


async def test_every_method_of_ours(cent_client: Any, nodes: Nodes) -> None:
    async with AsyncExitStack() as stack:
        http, url = nodes.http, nodes[1].url
        ann = await stack.enter_async_context(Client(http, url, nodes.token("ann")))
        await cent_client("subscribe", cent.SubscribeRequest(user="ann", channel="news"))
        await eventually(lambda: subscribed(ann) == {"news"})

        publish = cent.PublishRequest(channel="news", data={"text": "one"}, tags={"k": "v"}, skip_history=True)
        assert (await cent_client("publish", publish)).offset == 0
        result = await cent_client("broadcast", cent.BroadcastRequest(channels=["news", "$x"], data="two"))
        assert result.responses[0].error is None
        assert result.responses[1].error.code == 103
        batch = cent.BatchRequest(
            requests=[cent.PublishRequest(channel="news", data=3), cent.ChannelsRequest(pattern="ne*")], parallel=True
        )
        replies = (await cent_client("batch", batch)).replies
        assert replies[1].channels["news"].num_clients == 1
        await eventually(lambda: ann.publications["news"] == [{"text": "one"}, "two", 3])

        channels = await cent_client("channels", cent.ChannelsRequest())
        assert channels.channels["news"].num_clients == 1
        info = await cent_client("info", cent.InfoRequest())
        assert [(node.name, node.num_clients) for node in info.nodes] == [("n1", 0), ("n2", 1), ("n3", 0)]

        await cent_client("unsubscribe", cent.UnsubscribeRequest(user="ann", channel="news"))
        await eventually(lambda: unsubscribed(ann) == {"news": 2000})
        disconnect = cent.Disconnect(code=4500, reason="bye")
        await cent_client("disconnect", cent.DisconnectRequest(user="ann", whitelist=["x"], disconnect=disconnect))
        await eventually(lambda: ann.close_code == 4500)


@pytest.mark.parametrize(
    ("method", "request_", "code"),
    [
        ("publish", cent.PublishRequest(channel="$x", data=1), 103),
        ("publish", cent.PublishRequest(channel="news", data=1, idempotency_key="k"), 108),
        ("presence", cent.PresenceRequest(channel="news"), 108),
        ("presence_stats", cent.PresenceStatsRequest(channel="news"), 108),
        ("history", cent.HistoryRequest(channel="news", limit=1), 108),
        ("history_remove", cent.HistoryRemoveRequest(channel="news"), 108),
        ("refresh", cent.RefreshRequest(user="ann"), 108),
    ],
)
async def test_errors_are_its_errors(cent_client: Any, method: str, request_: Any, code: int) -> None:
    with pytest.raises(cent.CentApiResponseError) as caught:
        await cent_client(method, request_)
    assert caught.value.code == code


async def test_a_wrong_key_is_its_unauthorized(node: Nodes) -> None:
    async with cent.AsyncClient(f"{node[0].url}/api", "wrong") as client:
        with pytest.raises(cent.CentUnauthorizedError):
            await client.info(cent.InfoRequest())
