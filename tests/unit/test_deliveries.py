from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from wsplatform.core.deliveries import Lost, Receipt, Stream


def sent(count: int, refused: tuple[int, ...] = ()) -> Stream:
    stream = Stream()
    for _ in range(count):
        number = stream.send()
        if number not in refused:
            stream.accept(number)
    return stream


def taken(stream: Stream, *numbers: int) -> Receipt:
    receipt = Receipt(stream)
    for number in numbers:
        receipt.take(number)
    return receipt


def counts(receipt: Receipt) -> tuple[int, int, int, Lost]:
    return receipt.arrived, receipt.duplicated, receipt.out_of_order, receipt.lost()


def test_everything_in_order() -> None:
    assert counts(taken(sent(4), 1, 2, 3, 4)) == (4, 0, 0, (0, 0))


def test_a_hole_and_the_end_are_lost_but_for_what_was_refused() -> None:
    assert counts(taken(sent(9, refused=(4, 9)), 1, 2, 5, 7)) == (4, 0, 0, (3, 0))


def test_twice_is_doubled_and_after_a_higher_one_is_out_of_order() -> None:
    assert counts(taken(sent(4), 1, 3, 2, 2, 4, 1)) == (4, 2, 1, (0, 0))


def test_what_came_unaccepted_is_not_expected_but_counted() -> None:
    assert counts(taken(sent(3, refused=(2,)), 1, 2, 3)) == (3, 0, 0, (0, 0))


def test_an_absence_excuses_from_the_last_arrival_to_the_return() -> None:
    stream = sent(5)
    receipt = taken(stream, 1, 3)
    receipt.left()
    for _ in range(5):
        stream.accept(stream.send())
    receipt.back()
    for _ in range(3):
        stream.accept(stream.send())
    receipt.take(12)
    assert counts(receipt) == (3, 0, 0, (3, 7))  # 2, 11 and 13; 4 to 10


def test_what_arrives_after_all_is_not_lost() -> None:
    stream = sent(5)
    receipt = taken(stream, 1)
    receipt.left()
    receipt.back()
    for number in (2, 3, 4, 5):
        receipt.take(number)
    assert counts(receipt) == (5, 0, 0, (0, 0))


class Subscriber(RuleBasedStateMachine):
    """Against the same with plain sets, which need memory for every number."""

    def __init__(self) -> None:
        super().__init__()
        self.stream = Stream()
        self.receipt = Receipt(self.stream)
        self.accepted: set[int] = set()
        self.came: list[int] = []
        self.excused: set[int] = set()
        self.away_from: int | None = None

    @property
    def high(self) -> int:
        return max(self.came, default=0)

    @rule(accepted=st.lists(st.booleans(), min_size=1, max_size=5))
    def send(self, accepted: list[bool]) -> None:
        for yes in accepted:
            number = self.stream.send()
            if yes:
                self.stream.accept(number)
                self.accepted.add(number)

    @precondition(lambda self: self.stream.sent)
    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(1, self.stream.sent))
        assert self.receipt.take(number) is (number not in self.came)
        self.came.append(number)

    @precondition(lambda self: self.high < self.stream.sent)
    @rule()
    def take_next(self) -> None:
        assert self.receipt.take(self.high + 1)
        self.came.append(self.high + 1)

    @rule()
    def left(self) -> None:
        self.receipt.left()
        if self.away_from is None:
            self.away_from = self.high + 1

    @rule()
    def back(self) -> None:
        self.receipt.back()
        if self.away_from is not None:
            self.excused.update(range(self.away_from, self.stream.sent + 1))
            self.away_from = None

    @invariant()
    def counts(self) -> None:
        firsts = list(dict.fromkeys(self.came))
        assert self.receipt.arrived == len(firsts)
        assert self.receipt.duplicated == len(self.came) - len(firsts)
        late = [number for index, number in enumerate(firsts) if number < max(firsts[:index], default=0)]
        assert self.receipt.out_of_order == len(late)
        excused = set(self.excused)
        if self.away_from is not None:
            excused.update(range(self.away_from, self.stream.sent + 1))
        missing = self.accepted - set(firsts)
        assert self.receipt.lost() == (len(missing - excused), len(missing & excused))


TestSubscriber = Subscriber.TestCase


@given(st.lists(st.booleans()), st.integers(1, 30), st.integers(0, 30))
def test_accepted_of_a_range(accepted: list[bool], first: int, last: int) -> None:
    refused = tuple(number for number, yes in enumerate(accepted, start=1) if not yes)
    stream = sent(len(accepted), refused)
    assert (stream.sent, stream.accepted) == (len(accepted), sum(accepted))
    assert stream.accepted_in(first, last) == sum(accepted[first - 1 : last])
