import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from wsplatform.errors import CommandError
from wsplatform.wire.payload import MAX_DEPTH, MAX_DIGITS, check_payload, one_line

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers()
    | st.text('[]{}"\\\né1'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('[]{}"\\\n', max_size=4), inner, max_size=4),
    max_leaves=30,
)


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max((depth(item) for item in inner), default=0)


def nested(levels: int) -> bytes:
    value: Any = "]}"
    for level in range(levels):
        value = [value] if level % 3 else {"a[": value}
    return json.dumps(value).encode()


def refused(data: bytes) -> bool:
    try:
        check_payload(data)
    except CommandError as error:
        return error.number == 107
    return False


@given(JSON, st.integers(MAX_DEPTH - 5, MAX_DEPTH + 5))
def test_depth_is_counted_exactly(value: Any, levels: int) -> None:
    for wrapped in range(levels):
        value = [value] if wrapped % 2 else {"[": value, "}": []}
    data = json.dumps(value, ensure_ascii=False, indent=None if levels % 2 else 1).encode()
    assert refused(data) == (depth(value) > MAX_DEPTH)


def test_wide_data_is_not_deep() -> None:
    check_payload(b"[" + b"{},[]," * 5000 + b"0]")
    check_payload(json.dumps("[" * 9000).encode())
    check_payload(nested(MAX_DEPTH))
    assert refused(nested(MAX_DEPTH + 1))
    assert refused(b"[" * 500 + b"]" * 500)


def test_numbers_too_long_to_read_are_refused_and_texts_of_digits_are_not() -> None:
    digits = b"1" * MAX_DIGITS
    check_payload(b"[" + digits + b"]")
    check_payload(b'{"a\\"":"' + digits * 9 + b'"}')
    assert refused(b"[-" + digits + b"1]")
    assert refused(b'["' + digits + b'1", ' + digits + b"1]")


def test_checking_costs_little_however_the_data_is_made() -> None:
    for piece in (b"[", b"[]", b'"\\\\"', b'"', b"1" * MAX_DIGITS + b" ", b'"\\', b"[{"):
        data = piece * (1_000_000 // len(piece))
        refused(data)


@given(JSON.filter(lambda value: depth(value) <= MAX_DEPTH))
def test_any_json_is_read_and_put_on_one_line(value: Any) -> None:
    for indent in (None, 1):
        line = one_line(json.dumps(value, indent=indent).encode())
        assert len(line.splitlines()) == 1
        assert json.loads(line) == value


def test_every_kind_of_line_break_goes() -> None:
    assert one_line(b'{"a"\r:\n1,\r\n"b":"\\n"}') == b'{"a":1,"b":"\\n"}'
