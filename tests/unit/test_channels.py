import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.channels import Pattern, RuleBook, check_pattern, valid_channel
from wsplatform.errors import PlatformError
from wsplatform.model import ChannelRule

SMALL = st.text("ab:", max_size=8)
PATTERNS = st.text("ab:*", min_size=1, max_size=7)


def naive(pattern: str, name: str) -> bool:
    """`*` is anything, tried in every way."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(naive(pattern[1:], name[cut:]) for cut in range(len(name) + 1))
    return name[:1] == pattern[0] and naive(pattern[1:], name[1:])


@pytest.mark.parametrize("name", ["news", "chat:room-1", "a b", "#", "público", "日本", "👩‍👩‍👧", "$own", "x" * 255])
def test_names_that_are_accepted(name: str) -> None:
    assert valid_channel(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "\u3000",
        " a",
        "a ",
        "a\n",
        "a\x00b",
        "\x7f",
        "\x85a",
        "a\u2028b",
        "x" * 256,
        "é" * 128,
        "chat:*",
        "\ud800",
    ],
)
def test_names_that_are_refused(name: str) -> None:
    assert not valid_channel(name)


@given(st.text())
def test_any_text_is_judged_and_no_accepted_name_breaks_a_line(name: str) -> None:
    if valid_channel(name):
        assert 1 <= len(name.encode()) <= 255
        assert name.splitlines() == [name]
        check_pattern(name.removeprefix("$").strip() or "x")


@pytest.mark.parametrize("pattern", ["*", "chat:*", "a*b*c", "news", "*:news"])
def test_patterns_that_are_accepted(pattern: str) -> None:
    check_pattern(pattern)


@pytest.mark.parametrize("pattern", ["", "a**", "$x", "$*", " *", "a\n*", "é" * 128, "\ud800*"])
def test_patterns_that_are_refused_with_a_sentence(pattern: str) -> None:
    with pytest.raises(PlatformError) as caught:
        check_pattern(pattern)
    assert caught.value.code == "invalid_pattern"
    assert caught.value.message.isprintable()


@given(PATTERNS, SMALL)
def test_matches_what_the_naive_way_matches(pattern: str, name: str) -> None:
    assert Pattern(pattern).matches(name) == naive(pattern, name)


@given(st.text("ab*", min_size=1, max_size=6), st.lists(SMALL, min_size=6, max_size=6))
def test_matches_whatever_the_stars_are_replaced_with(pattern: str, fillings: list[str]) -> None:
    filling = iter(fillings)
    assert Pattern(pattern).matches("".join(next(filling) if part == "*" else part for part in pattern))


def test_a_pattern_of_many_stars_costs_little() -> None:
    assert not Pattern("a*" * 127 + "b").matches("a" * 255)


def rule(pattern: str) -> ChannelRule:
    return ChannelRule(pattern=pattern)


@pytest.mark.parametrize(
    ("channel", "pattern"),
    [
        ("chat:vip", "chat:vip"),
        ("chat:room:1", "chat:room:*"),
        ("chat:x", "chat:*"),
        ("chat:xyz", "chat:*z"),
        ("other", "*"),
        ("ab-cd", "ab*cd"),
    ],
)
def test_the_most_specific_rule_holds(channel: str, pattern: str) -> None:
    book = RuleBook([rule(text) for text in ("*", "chat:*", "chat:vip", "chat:room:*", "chat:*z", "a*b*cd", "ab*cd")])
    found = book.match(channel)
    assert found is not None
    assert found.pattern == pattern


def test_equal_specificity_is_settled_by_text_whatever_the_order_given() -> None:
    for texts in (("a*", "*b"), ("*b", "a*")):
        found = RuleBook([rule(text) for text in texts]).match("ab")
        assert found is not None
        assert found.pattern == "*b"


def test_no_rule_reaches_the_platforms_own_channels() -> None:
    assert RuleBook([rule("*")]).match("$presence") is None
    assert RuleBook([]).match("news") is None


@given(st.lists(PATTERNS, max_size=8), SMALL.filter(bool))
def test_the_book_agrees_with_the_naive_choice(texts: list[str], channel: str) -> None:
    def order(text: str) -> tuple[bool, int, int, str]:
        stars = text.count("*")
        return (stars > 0, stars - len(text), stars, text)

    fitting = sorted((text for text in texts if naive(text, channel)), key=order)
    found = RuleBook([rule(text) for text in texts]).match(channel)
    assert (found.pattern if found else None) == (fitting[0] if fitting else None)
