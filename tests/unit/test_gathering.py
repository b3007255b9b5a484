from __future__ import annotations

import asyncio
import time

import pytest

from wsplatform.core.glob import Glob
from wsplatform.errors import CommandError
from wsplatform.node.gathering import MAX_WAITING, PAGE_BYTES, SLICE, TURN_SECONDS, Gathering, Listing, Part


def listing(names: list[str]) -> Listing[str]:
    return Listing(lambda: names, lambda _: True, lambda name: name, len)


async def gathered(listing: Listing[str], after: str = "", limit: int = 1000) -> tuple[Part[str], int]:
    """The page, and how many turns of the loop others had meanwhile."""
    done: asyncio.Future[Part[str]] = asyncio.get_running_loop().create_future()
    Gathering().gather(listing, after, limit, done.set_result)
    turns = 0
    while not done.done():
        turns += 1
        await asyncio.sleep(0)
    return done.result(), turns


async def test_a_million_names_leave_the_others_a_turn_after_each_slice() -> None:
    looked: list[int] = [0]
    most = 0

    def wanted(name: str) -> bool:
        looked[0] += 1
        return name.endswith("7")

    count = 1_000_000
    names = [f"{index * 7919 % count:07}" for index in range(count)]
    done: asyncio.Future[Part[str]] = asyncio.get_running_loop().create_future()
    Gathering().gather(Listing(lambda: names, wanted, lambda name: name, len), "", 1000, done.set_result)
    turns = 0
    while not done.done():
        before = looked[0]
        await asyncio.sleep(0)
        most = max(most, looked[0] - before)
        turns += 1
    assert done.result() == Part(tuple(f"{index:07}" for index in range(7, 10_000, 10)), "0009997")
    assert most <= SLICE
    assert turns >= count / SLICE


async def test_a_page_is_bounded_in_bytes_and_says_how_far_it_goes() -> None:
    names = [f"{index:04}" + "x" * 996 for index in range(1000)]
    page, _ = await gathered(listing(names))
    assert page.items == tuple(names[: PAGE_BYTES // 1000])
    assert page.upto == page.items[-1]
    rest, _ = await gathered(listing(names), after=page.upto)
    assert rest.items[0] == names[len(page.items)]


async def test_one_item_is_told_however_large() -> None:
    page, _ = await gathered(listing(["x" * 2 * PAGE_BYTES, "y"]))
    assert len(page.items) == 1
    assert page.upto == page.items[0]


async def test_what_goes_meanwhile_is_left_out_and_the_page_is_whole_all_the_same() -> None:
    page, _ = await gathered(
        Listing(lambda: ["c", "a", "b"], lambda _: True, lambda name: None if name == "b" else name, len), limit=2
    )
    assert page == Part(("a",), "b")


async def test_a_page_of_which_all_has_gone_is_the_next_one() -> None:
    there = Listing(lambda: list("abcdef"), lambda _: True, lambda name: name if name >= "e" else None, len)
    assert (await gathered(there, limit=2))[0] == Part(("e", "f"), None)
    nothing = Listing(lambda: list("abcdef"), lambda _: True, lambda _: None, len)
    assert (await gathered(nothing, limit=2))[0] == Part((), None)


async def test_a_list_that_fails_costs_itself_only() -> None:
    gathering = Gathering()
    done: asyncio.Future[Part[str]] = asyncio.get_running_loop().create_future()

    def fails(_: str) -> bool:
        raise ValueError("broken")

    gathering.gather(Listing(lambda: ["a"], fails, lambda name: name, len), "", 1, lambda _: None)
    gathering.gather(listing(["a"]), "", 1, done.set_result)
    assert (await done).items == ("a",)


async def test_more_lists_than_can_wait_are_refused() -> None:
    gathering = Gathering()
    answers: list[Part[str]] = []
    for _ in range(MAX_WAITING):
        gathering.gather(listing(["a"]), "", 1, answers.append)
    with pytest.raises(CommandError, match="busy"):
        gathering.gather(listing(["a"]), "", 1, answers.append)
    while len(answers) < MAX_WAITING:
        await asyncio.sleep(0)
    gathering.gather(listing(["a"]), "", 1, answers.append)


async def test_a_pattern_that_is_hard_to_match_has_short_turns_as_well() -> None:
    matches = Glob("{,,,,,,,}*" + "[!b-z]" * 35 + "c*z").matches
    names = ["a" * 250] * 300
    began = time.thread_time()
    for name in names:
        matches(name)
    whole = time.thread_time() - began
    _, turns = await gathered(Listing(lambda: names, matches, lambda name: name, len))
    assert turns >= whole / TURN_SECONDS / 3  # the first turns are short, and some are longer than they should be
