from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.glob import MAX_LENGTH, MAX_VARIANTS, Glob
from wsplatform.errors import CommandError


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("chat", ["chat"], ["chats", "cha", ""]),
        ("chat:*", ["chat:1", "chat:", "chat:a:b"], ["chat", "news:1"]),
        ("**", ["", "a", "a:b"], []),
        ("*:*:*", ["a:b:c", "::"], ["a:b"]),
        ("user:?", ["user:1", "user:\n"], ["user:", "user:12"]),
        ("room:[0-3a]", ["room:0", "room:3", "room:a"], ["room:4", "room:b", "room:"]),
        ("room:[!0-3]", ["room:4", "room:x"], ["room:1", "room:"]),
        ("[\\]^\\-]", ["]", "^", "-"], ["a", "\\"]),
        ("{chat,news}:*", ["chat:1", "news:1"], ["chats:1", "new:1"]),
        ("a{b*,}c{1,2}", ["abxc1", "ac2", "abc1"], ["axc1", "ac3", "abcc"]),
        ("\\*\\{a", ["*{a"], ["x{a"]),
        ("a,b.c+]", ["a,b.c+]"], ["a,bxc+]"]),
        ("*ab*ab", ["abab", "xabxxab"], ["ab", "aba"]),
        ("", [""], ["a"]),
    ],
)
def test_matches_whole_names(pattern: str, yes: list[str], no: list[str]) -> None:
    glob = Glob(pattern)
    assert [name for name in [*yes, *no] if glob.matches(name)] == yes


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("a[", "ends too early"),
        ("[]", "class is empty"),
        ("[!]", "class is empty"),
        ("[z-a]", "range z-a is empty"),
        ("[a-", "ends too early"),
        ("{a", "ends too early"),
        ("a}", "unexpected '}'"),
        ("\\", "ends too early"),
        ("{a,{b,c}}", "braces inside braces"),
        ("{a,b}" * 6, f"more than {MAX_VARIANTS} alternatives"),
        ("{,,,,,,,}*" + "a" * 150, "too long, all together"),
        ("{,,,,,,,}[" + "abcdefghij" * 13 + "]", "too long, all together"),
        ("a" * (MAX_LENGTH + 1), f"more than {MAX_LENGTH} characters"),
    ],
)
def test_says_what_is_wrong_with_a_pattern(pattern: str, why: str) -> None:
    with pytest.raises(CommandError) as caught:
        Glob(pattern)
    assert caught.value.number == 107
    assert caught.value.message.startswith("pattern: ")
    assert why in caught.value.message


def test_a_hostile_pattern_takes_no_long_time() -> None:
    glob = Glob("*a" * 100 + "*{a,b,aa}*b")
    start = time.perf_counter()
    assert not glob.matches("a" * 255)
    assert time.perf_counter() - start < 0.1


@given(st.text(alphabet="ab*?[]{}\\,-!:", max_size=40), st.text(alphabet="ab:", max_size=20))
def test_any_text_is_a_pattern_or_refused_as_bad_request(pattern: str, name: str) -> None:
    with suppress(CommandError):
        Glob(pattern).matches(name)


def _plainly(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(_plainly(pattern[1:], name[at:]) for at in range(len(name) + 1))
    return bool(name) and pattern[0] in (name[0], "?") and _plainly(pattern[1:], name[1:])


@given(st.text(alphabet="ab*?", max_size=8), st.text(alphabet="ab", max_size=10))
def test_agrees_with_the_plain_definition(pattern: str, name: str) -> None:
    assert Glob(pattern).matches(name) == _plainly(pattern, name)
