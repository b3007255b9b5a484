"""What benchmarks make of their samples: who reads the table relies on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import install
from benchmarks.__main__ import peers_of, read_arguments
from benchmarks.budget import checks
from benchmarks.report import Run, as_json, markdown
from benchmarks.results import Case, Results

FAN_OUT = Case("Fan-out", "1,000 subscribers, 128 B, 1 in flight", "cost", "µs")


def measured(**costs: list[float]) -> Results:
    """Of one case: the costs of each server, round after round."""
    results = Results()
    for server, values in costs.items():
        for number, cost in enumerate(values, 1):
            figures = {"cost": cost, "rate": 1e5, "busy": 1.0, "generator": 0.5}
            results.add(number, server.replace("C_", "C, "), FAN_OUT, figures)
    return results


def test_a_ratio_pairs_what_was_measured_in_the_same_round() -> None:
    results = measured(wsplatform=[10, 30, 11], C_send=[10, 20, 10])

    ratio = results.ratio(FAN_OUT, "wsplatform", "C, send")

    assert ratio is not None
    assert (ratio.least, ratio.middle, ratio.most, ratio.rounds) == (1.0, 1.1, 1.5, 3)


def test_a_round_in_which_the_other_was_not_measured_does_not_count() -> None:
    results = measured(wsplatform=[10, 30], C_send=[10])

    ratio = results.ratio(FAN_OUT, "wsplatform", "C, send")

    assert ratio is not None
    assert ratio.rounds == 1
    assert results.ratio(FAN_OUT, "wsplatform", "bun") is None


def test_the_budget_is_kept_or_missed_by_the_median() -> None:
    found = {
        check.what.rpartition("by ")[2]: check
        for check in checks(measured(wsplatform=[8, 8], C_send=[7, 7], ws=[9, 9]))
    }

    assert found["C, send"].kept
    assert found["C, send"].value == pytest.approx(8 / 7)
    limits = [check.most for check in checks(measured(wsplatform=[8], ws=[10])) if check.what.endswith("by ws")]
    assert limits == [0.7, 1.0]


def test_cost_that_grows_with_the_audience_shows_as_a_ratio_of_doubling() -> None:
    results = Results()
    for subscribers, cost in (("1,000", 7.0), ("2,000", 7.7)):
        results.add(1, "wsplatform", Case("Linearity", f"{subscribers} subscribers", "cost", "µs"), {"cost": cost})

    (check,) = checks(results)

    assert check.value == pytest.approx(2.2)
    assert not check.kept


def test_what_was_left_out_or_failed_is_said_and_every_round_is_in_the_json() -> None:
    results = measured(wsplatform=[8, 9], ws=[10, 11])
    run = Run(
        results,
        {"cpu": "a processor"},
        {"wsplatform": "1", "ws": "2"},
        {"bun": "no binary"},
        ["flood: ws: it ended"],
        2,
        60.0,
    )

    text, data = markdown(run), json.loads(as_json(run))

    assert "Left out: bun: no binary." in text
    assert "Failed: flood: ws: it ended." in text
    assert "| **wsplatform** | 8.50 (8.00–9.00) |" in text
    (case,) = data["cases"]
    assert [sample["cost"] for sample in case["servers"]["wsplatform"]["rounds"]] == [8, 9]
    assert case["servers"]["wsplatform"]["ratios"]["ws"]["rounds"] == 2


@pytest.mark.parametrize(
    ("given", "peers"),
    [
        ("", list(install.NAMES)),
        ("--servers none", []),
        ("--servers ws bun", ["ws", "bun"]),
        ("--only metrics", []),
        ("--only metrics --servers ws", []),
        ("--only metrics few --servers websockets", ["websockets"]),
    ],
)
def test_only_peers_that_are_measured_are_wanted(given: str, peers: list[str]) -> None:
    assert peers_of(read_arguments(given.split())) == peers


@pytest.mark.parametrize(
    ("given", "told"),
    [("--servers nobody", list(install.NAMES)), ("--servers none ws", ["stands by itself"]), ("--servers", ["NAME"])],
)
def test_peers_that_there_are_not_are_refused_with_those_that_there_are(
    given: str, told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read_arguments(given.split())
    said = capsys.readouterr().err
    assert [word for word in told if word not in said] == []


@pytest.mark.parametrize(("wanted", "installed"), [([], []), (["bun"], ["npm"]), (["websockets"], ["pypi"])])
def test_only_what_peers_need_is_installed(
    wanted: list[str], installed: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done: list[str] = []
    monkeypatch.setattr(install, "_npm", lambda _: done.append("npm"))
    monkeypatch.setattr(install, "_pypi", lambda _: done.append("pypi"))
    monkeypatch.setattr(install, "_compile", lambda folder: install.Tools(folder, folder, "cc"))
    tools = install.prepare(tmp_path, wanted)
    assert done == installed
    assert set(tools.missing) <= set(wanted)
