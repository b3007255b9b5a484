"""Figures and charts for people."""

from __future__ import annotations

import time

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.cli.cells import cut, left, printable, right, width
from wsplatform.cli.chart import BLOCKS, PLAIN, chart, fitted, sparkline
from wsplatform.cli.figures import Moment, Span, amount, duration, moment, percent, size

VALUES = st.lists(st.none() | st.floats(0, 1e15), max_size=400)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0 ms"),
        (0.0000123, "0.01 ms"),
        (0.0123, "12.3 ms"),
        (0.9999, "1,000 ms"),
        (1.25, "1.25 s"),
        (60, "60 s"),
        (300, "5 min"),
        (7200, "2 h"),
        (200_000, "2 d"),
    ],
)
def test_a_duration_is_told_in_what_suits_it(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_amounts_sizes_and_shares_are_short() -> None:
    assert [amount(number) for number in (None, 0, 0.25, 12.34, 9999, 12_345, 4_500_000)] == [
        *("-", "0", "0.25", "12.3", "9,999", "12.3k", "4,500k")
    ]
    assert [amount(number) for number in (45_000_000, 12e9)] == ["45M", "12G"]
    assert [size(count) for count in (None, 0, 1023, 1536, 20 * 2**20, 2**60)] == [
        *("-", "0 B", "1,023 B", "1.5 KiB", "20 MiB", "1,048,576 TiB")
    ]
    assert (percent(None), percent(0.256)) == ("-", "26%")
    assert (moment(None), moment(1_790_000_000)) == ("-", "2026-09-21 14:13:20Z")


@given(st.floats(0, 1e16))
def test_no_figure_is_long(number: float) -> None:
    assert len(duration(min(number, 1e9))) <= 9
    assert len(amount(min(number, 1e12))) <= 6


def test_moments_are_understood_in_three_forms() -> None:
    kind = Moment()
    assert kind.convert("2h", None, None) == pytest.approx(time.time() - 7200, abs=5)
    assert kind.convert("1790000000", None, None) == 1_790_000_000
    assert kind.convert("2026-09-21T14:13:20", None, None) == 1_790_000_000
    assert kind.convert("2026-09-21T16:13:20+02:00", None, None) == 1_790_000_000
    assert [Span().convert(text, None, None) for text in ("90", "10s", "5m", "1h", "1d")] == [90, 10, 300, 3600, 86400]


@given(st.text(max_size=20))
def test_what_is_no_moment_and_no_span_is_refused_in_a_sentence(text: str) -> None:
    told: list[str] = []
    for kind in (Moment(), Span()):
        try:
            kind.convert(text, None, None)
        except click.BadParameter as error:
            told.append(error.message)
    assert all("is not a" in message for message in told)


@given(VALUES, st.integers(1, 200))
def test_values_that_do_not_fit_keep_their_peak(values: list[float | None], columns: int) -> None:
    points = fitted(values, columns)
    assert len(points) <= max(columns, 0) or not values
    known = [value for value in values if value is not None]
    assert max((point for point in points if point is not None), default=None) == max(known, default=None)


@given(VALUES, st.integers(20, 200), st.sampled_from([BLOCKS, PLAIN]))
def test_a_chart_fits_and_shows_who_reported(values: list[float | None], columns: int, glyphs: str) -> None:
    lines = chart(values, columns, amount, glyphs)
    assert len(lines) == 8
    assert all(len(line) <= columns for line in lines)
    assert len(sparkline(values, columns, glyphs, 1.0)) <= columns


def test_a_chart_is_as_high_as_its_values() -> None:
    assert chart([0, 50, None, 100], 40, amount, PLAIN, rows=2) == ["100 |    #", "  0 | .# #"]
    assert sparkline([0, 25, None, 100], 40, BLOCKS, 100) == "▁▂ █"
    assert sparkline([0, 0], 40, BLOCKS, 0) == "▁▁"


@given(st.text(max_size=40), st.integers(1, 50))
def test_text_is_cut_to_the_cells_that_there_are(text: str, columns: int) -> None:
    shown = cut(printable(text), columns)
    assert width(shown) <= columns
    assert shown.isprintable()
    assert width(left(shown, columns)) == width(right(shown, columns)) == columns


def test_wide_letters_take_two_cells() -> None:
    assert (width("日本"), cut("日本語", 5), cut("日本語", 4), cut("plain", 3)) == (4, "日本…", "日…", "pl…")
    assert printable("a\x1b[31m\x9bb") == "a\ufffd[31m\ufffdb"
