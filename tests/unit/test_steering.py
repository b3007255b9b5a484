"""The program that the kernel runs for each new connection, carried out as the kernel would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.steering import INSTRUCTION, choose, program


def run(code: bytes, chance: int) -> int:
    """What the program returns. `chance`: the 32 bits that the kernel's random extension gives."""
    instructions = list(INSTRUCTION.iter_unpack(code))
    accumulator = place = 0
    while True:
        operation, yes, no, constant = instructions[place]
        place += 1
        if operation == 0x20:
            assert constant == 0xFFFFF038  # "rand" in the kernel's documentation
            accumulator = chance
        elif operation == 0x94:
            accumulator %= constant
        elif operation == 0x15:
            place += yes if accumulator == constant else no
        else:
            assert operation == 0x06
            return constant


sockets = st.lists(st.integers(0, 255), min_size=1, max_size=256, unique=True)


@given(sockets, st.integers(0, 2**32 - 1))
def test_a_connection_goes_to_one_of_those_that_were_chosen(chosen: list[int], chance: int) -> None:
    assert run(program(chosen), chance) in chosen


@given(sockets)
def test_each_gets_its_share(chosen: list[int]) -> None:
    code = program(chosen)
    assert [run(code, chance) for chance in range(len(chosen))] == chosen
    assert len(code) // INSTRUCTION.size < 4096  # the kernel's limit


@given(st.lists(st.integers(0, 3), min_size=1, max_size=20))
def test_the_highest_rank_is_chosen_and_all_of_it(ranks: list[int]) -> None:
    chosen = choose(ranks)
    assert {ranks[number] for number in chosen} == {max(ranks)}
    assert list(chosen) == [number for number, rank in enumerate(ranks) if rank == max(ranks)]
