from __future__ import annotations

import asyncio

from tests.unit.test_inquiry import Alone
from wsplatform.model import Instance
from wsplatform.node.local_directory import LocalDirectory, LocalNode
from wsplatform.node.sessions import Sessions
from wsplatform.node.subscriptions import Subscriptions
from wsplatform.wire import directory as wire


class Counted(Subscriptions):
    """One subscriber on each of many channels."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(Alone())
        self._names = tuple(names)

    def names(self) -> tuple[str, ...]:
        return self._names

    def subscribers(self, channel: str) -> int:
        return 0 if channel.startswith("left") else 1


async def test_a_list_of_channels_leaves_the_others_a_turn_after_each_slice() -> None:
    names = [f"{'aaaaaa' if number % 2 else 'left'}{number}" for number in range(20_000)]
    directory = LocalDirectory(LocalNode(Instance("n1", "1"), lambda: 1.0), Sessions(), Counted(names))
    for pattern in ("", "*", "*5"):
        answer: asyncio.Future[wire.Answer] = asyncio.get_running_loop().create_future()
        directory.ask(wire.ListChannels(pattern), answer.set_result)
        turns = 0
        while not answer.done():
            turns += 1
            await asyncio.sleep(0)
        wanted = {name: 1 for name in names if name.startswith("a") and name.endswith(pattern.strip("*"))}
        assert answer.result() == wire.ChannelList(wanted)
        assert turns >= 20


async def test_a_pattern_that_cannot_be_read_is_answered_at_once() -> None:
    directory = LocalDirectory(LocalNode(Instance("n1", "1"), lambda: 1.0), Sessions(), Counted([]))
    answers: list[wire.Answer] = []
    directory.ask(wire.ListChannels("["), answers.append)
    assert isinstance(answers[0], wire.Failed)
