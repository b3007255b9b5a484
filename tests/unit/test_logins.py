from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.keys import RANDOM_BYTES as KEY_BYTES
from wsplatform.core.keys import new_key
from wsplatform.core.logins import (
    AT_ONCE,
    IDLE,
    LIFETIME,
    PER_KEY,
    RANDOM_BYTES,
    Login,
    csrf_token,
    digest,
    new_login,
    opens,
    surplus,
)

_, KEY = new_key(bytes(KEY_BYTES), "ops", ("admin",))
TEXT, LOGIN = new_login(bytes(range(RANDOM_BYTES)), KEY, 1000.0)


def test_what_is_kept_tells_neither_the_text_nor_the_token() -> None:
    kept = msgspec.json.encode(LOGIN).decode()
    assert len(TEXT) == 64
    assert LOGIN.digest == digest(TEXT)
    for secret in (TEXT, csrf_token(TEXT), KEY.digest):
        assert secret not in kept
    assert len({TEXT, csrf_token(TEXT), LOGIN.digest, LOGIN.binding}) == 4


def test_it_opens_with_its_text_and_the_very_key() -> None:
    assert opens(TEXT, LOGIN, KEY)
    assert not opens("0" * 64, LOGIN, KEY)
    assert not opens(TEXT, LOGIN, None)
    assert not opens(TEXT, LOGIN, msgspec.structs.replace(KEY, digest="0" * 64))
    assert not opens(TEXT, LOGIN, msgspec.structs.replace(KEY, scopes=("api",)))


@given(st.text())
def test_any_text_can_be_asked_about(text: str) -> None:
    assert not opens(text, LOGIN, KEY)
    assert digest(text) in ("", digest(text[:64]))


def test_it_ends_when_unused_and_in_any_case() -> None:
    assert LOGIN.lasts(1000.0 + IDLE - 1)
    assert not LOGIN.lasts(1000.0 + IDLE)
    used = msgspec.structs.replace(LOGIN, used_at=1000.0 + LIFETIME - 1)
    assert used.lasts(1000.0 + LIFETIME - 1)
    assert not used.lasts(1000.0 + LIFETIME)


def test_one_that_a_clock_years_ahead_has_made_does_not_last_for_years() -> None:
    assert LOGIN.lasts(1000.0 - IDLE / 2)  # a clock is set back by a little now and then
    assert not LOGIN.lasts(1000.0 - IDLE)
    assert not msgspec.structs.replace(LOGIN, used_at=1000.0 + LIFETIME).lasts(1000.0 + IDLE / 2)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50)), max_size=60), st.integers(1, 6), st.integers(1, 9)
)
def test_what_makes_room_is_the_least_used_of_the_key_then_of_all(
    kept: list[tuple[str, int]], per_key: int, at_once: int
) -> None:
    logins = [
        Login(digest=str(number), key_id=key, binding="", created_at=0.0, used_at=float(used))
        for number, (key, used) in enumerate(kept)
    ]
    gone = surplus(logins, "a", per_key=per_key, at_once=at_once)
    left = [login for login in logins if login.digest not in gone]
    assert len([login for login in left if login.key_id == "a"]) <= per_key - 1
    assert len(left) <= max(at_once - 1, 0)
    if len(logins) < at_once and sum(login.key_id == "a" for login in logins) < per_key:
        assert not gone


def test_a_key_pushes_out_its_own_first() -> None:
    own = [Login(digest=f"a{n}", key_id="a", binding="", created_at=0.0, used_at=float(n)) for n in range(PER_KEY)]
    others = [Login(digest=f"b{n}", key_id=f"b{n}", binding="", created_at=0.0, used_at=0.0) for n in range(100)]
    assert surplus([*own, *others], "a") == {"a0"}
    assert PER_KEY < AT_ONCE
