"""Plugins of other distributions: found, started, told, stopped; and what the bad ones do to the others (nothing)."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loguru import logger
from prometheus_client import exposition

from wsplatform.errors import StartError
from wsplatform.model import View
from wsplatform.plugins import host
from wsplatform.plugins.entry_points import PLUGINS, TRANSPORTS, load_one
from wsplatform.plugins.host import Plugins
from wsplatform.settings import Settings
from wsplatform.web.prometheus import About, Page

SETTINGS = Settings(environment="test")

GOOD = """
from wsplatform.plugins.base import PluginStatus
heard = []

class Plugin:
    async def start(self, host):
        heard.append("start")
        self.host = host
    async def stop(self):
        heard.append("stop")
    def view_changed(self, view):
        heard.append(view.number)
    def status(self):
        return PluginStatus(True, "fine")

def create(settings):
    return Plugin()
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a distribution with one module and one entry point, as pip would."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[str] = []

    def install(name: str, source: str, *, group: str = PLUGINS, entry: str = "") -> None:
        module = name.replace("-", "_")
        made.append(module)
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        metadata = tmp_path / f"{module}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[{group}]\n{entry or module} = {module}:create\n")

    yield install
    for module in made:
        sys.modules.pop(module, None)


@pytest.fixture
def errors() -> Iterator[list[str]]:
    """Messages that are logged as errors."""
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(message.record["message"]), level="ERROR")
    yield lines
    logger.remove(sink)


def heard(name: str) -> list[object]:
    return list(sys.modules[name].heard)


async def test_a_plugin_of_another_distribution_is_started_told_and_stopped(install: Install) -> None:
    install("good", GOOD)
    plugins = Plugins(SETTINGS)
    plugins.view_changed(View(1))
    plugins.view_changed(View(2))
    await plugins.start()
    plugins.view_changed(View(3))
    assert (plugins.status()["good"].detail, plugins.status()["good"].distribution) == ("fine", "good")
    await plugins.stop()
    await plugins.stop()
    assert heard("good") == ["start", 2, 3, "stop"]


async def test_what_is_switched_off_by_the_settings_does_not_show() -> None:
    plugins = Plugins(SETTINGS)
    await plugins.start()
    assert plugins.status() == {}
    await plugins.stop()


async def test_plugins_are_stopped_in_reverse(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a-first", "b-second"):
        install(name, GOOD.replace('heard.append("stop")', f'print("stop {name}")'))
    plugins = Plugins(SETTINGS)
    await plugins.start()
    await plugins.stop()
    assert capsys.readouterr().out.split("\n") == ["stop b-second", "stop a-first", ""]


BAD = {
    "import": "import nothing_of_this_name",
    "syntax": "def create(:",
    "no-factory": "pass",
    "exit": "raise SystemExit(3)",
    "make": "def create(settings): raise KeyError('oops')",
    "nothing": "def create(settings): return 42",
    "start": GOOD.replace('heard.append("start")', "raise ValueError('no\\nstart')"),
    "start-exit": GOOD.replace('heard.append("start")', "raise SystemExit"),
    "coded": GOOD.replace(
        'heard.append("start")',
        "from wsplatform.errors import StartError; raise StartError('coded', 'Install the thing.')",
    ),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_plugin_that_cannot_start_is_named_and_left_out(install: Install, errors: list[str], kind: str) -> None:
    install(f"bad-{kind}", BAD[kind], entry="bad")
    install("good", GOOD)
    plugins = Plugins(SETTINGS)
    await plugins.start()
    plugins.view_changed(View(1))
    status = plugins.status()
    assert (status["good"].healthy, status["bad"].healthy) == (True, False)
    assert status["bad"].detail.endswith("[coded]" if kind == "coded" else "[plugin_broken]")
    assert len(errors) == 1
    assert f"bad-{kind}" in errors[0]
    assert "\n" not in errors[0]
    await plugins.stop()
    assert heard("good") == ["start", 1, "stop"]


@pytest.mark.parametrize(
    ("method", "broken"),
    [
        ("view_changed", GOOD.replace("heard.append(view.number)", "raise ValueError('no view')")),
        ("view_changed", GOOD.replace("heard.append(view.number)", "raise SystemExit")),
        ("status", GOOD.replace('return PluginStatus(True, "fine")', "raise ValueError('no status')")),
        ("status", GOOD.replace('return PluginStatus(True, "fine")', "return None")),
        ("status", GOOD.replace('"fine")', '"fine", {"nodes": {1, 2}})')),
        ("status", GOOD.replace('"fine")', '"fine", {"name": "\\ud800"})')),
        ("stop", GOOD.replace('heard.append("stop")', "raise ValueError('no stop')")),
    ],
)
async def test_what_a_plugin_raises_while_it_runs_stays_with_it(
    install: Install, errors: list[str], method: str, broken: str
) -> None:
    install("a-bad", broken)
    install("good", GOOD)
    plugins = Plugins(SETTINGS)
    await plugins.start()
    for number in (1, 2, 3):
        plugins.view_changed(View(number))
    assert plugins.status()["good"].healthy
    assert plugins.status()["a_bad"].healthy == (method == "stop")
    await plugins.stop()
    assert heard("good") == ["start", 1, 2, 3, "stop"]
    assert len(errors) == 1  # told once, not for each view


MEASURING = GOOD.replace(
    "    def status(self)",
    """    metrics = (Metric("NAME_things", "gauge", "Things.", label="kind"), Metric("NAME_done", "counter", "Done."))
    def measure(self):
        return [Sample("NAME_things", 3, "small"), Sample("NAME_done", 7)]
    def status(self)""",
)
MEASURING = "from wsplatform.core.metrics import Metric, Sample" + MEASURING


def read(plugins: Plugins) -> str:
    """What Prometheus reads."""
    page = Page([plugins], About("1", "", 0.0), lambda: plugins.metrics)
    return exposition.generate_latest(page).decode()


async def test_what_a_plugin_measures_is_there_for_prometheus(install: Install) -> None:
    install("a-good", MEASURING.replace("NAME", "a_good"))
    install("plain", GOOD)
    install("bad", BAD["start"])
    plugins = Plugins(SETTINGS)
    assert "plugin" not in read(plugins)
    await plugins.start()
    page = read(plugins)
    assert 'wsplatform_plugin_healthy{plugin="a_good"} 1.0' in page
    assert 'wsplatform_plugin_healthy{plugin="plain"} 1.0' in page
    assert 'wsplatform_plugin_healthy{plugin="bad"} 0.0' in page
    assert 'wsplatform_a_good_things{kind="small"} 3.0' in page
    assert "wsplatform_a_good_done_total 7.0" in page
    await plugins.stop()
    assert "a_good_done" not in read(plugins)


@pytest.mark.parametrize(
    "broken",
    [
        'raise ValueError("no figures")',
        "raise SystemExit",
        "return None",
        'return [Sample("bad_done", "many")]',
        'return [Sample("bad_done", 10**400)]',
        'return [Sample("bad_things", 1, "\\ud800")]',
        'return [Sample("bad_things", 1, None)]',
        "return [()]",
        'return (Sample("bad_things", number, str(number)) for number in __import__("itertools").count())',
    ],
)
async def test_what_cannot_be_shown_is_left_out_and_told_once(install: Install, errors: list[str], broken: str) -> None:
    source = MEASURING.replace("NAME", "bad")
    install("bad", source.replace('return [Sample("bad_things", 3, "small"), Sample("bad_done", 7)]', broken))
    install("good", MEASURING.replace("NAME", "good"))
    plugins = Plugins(SETTINGS)
    await plugins.start()
    for number in (1, 2, 3):
        plugins.view_changed(View(number))
        page = read(plugins)
        assert "wsplatform_good_done_total 7.0" in page
        assert "wsplatform_bad" not in page
    assert plugins.status()["bad"].healthy  # its work is done all the same
    assert len(errors) == 1
    assert "'bad' of bad" in errors[0]
    await plugins.stop()


async def test_a_plugin_that_cannot_say_what_it_measures_any_more_is_left_out(
    install: Install, errors: list[str]
) -> None:
    later = """    @property
    def metrics(self):
        if "start" in heard:
            raise RuntimeError("gone")
        return (Metric("bad_done", "counter", "Done."),)
    def measure"""
    source = MEASURING.replace("NAME", "bad").replace("    def measure", later)
    install("bad", source)
    plugins = Plugins(SETTINGS)
    await plugins.start()
    for _ in range(2):
        assert 'wsplatform_plugin_healthy{plugin="bad"} 1.0' in read(plugins)
    assert len(errors) == 1
    await plugins.stop()


async def test_a_plugin_whose_names_cannot_be_does_not_start(install: Install, errors: list[str]) -> None:
    install("bad", MEASURING.replace("NAME", "good"))
    install("worse", MEASURING.replace("metrics = (", "metrics = (1 / 0,"))
    install("good", MEASURING.replace("NAME", "good"))
    plugins = Plugins(SETTINGS)
    await plugins.start()
    assert {name: status.healthy for name, status in plugins.status().items()} == {
        "bad": False,
        "good": True,
        "worse": False,
    }
    assert "'good_things' is not named bad_" in plugins.status()["bad"].detail
    assert "wsplatform_good_done_total 7.0" in read(plugins)
    await plugins.stop()


async def test_a_plugin_that_hangs_delays_the_start_only_so_long(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "START_SECONDS", 0.05)
    monkeypatch.setattr(host, "STOP_SECONDS", 0.05)
    install("hangs", "import asyncio\n" + GOOD.replace('heard.append("start")', "await asyncio.sleep(60)"))
    install("hangs-later", "import asyncio\n" + GOOD.replace('heard.append("stop")', "await asyncio.sleep(60)"))
    plugins = Plugins(SETTINGS)
    await plugins.start()
    assert "TimeoutError" in plugins.status()["hangs"].detail
    assert plugins.status()["hangs_later"].healthy
    await plugins.stop()


async def test_the_tasks_of_a_plugin_end_with_it(install: Install) -> None:
    source = "import asyncio\n" + GOOD.replace(
        'heard.append("start")', 'host.tasks.start(asyncio.sleep(60), name="forgotten")'
    )
    install("forgetful", source)
    plugins = Plugins(SETTINGS)
    await plugins.start()
    assert any(task.get_name() == "forgotten" for task in asyncio.all_tasks())
    await plugins.stop()
    assert not any(task.get_name() == "forgotten" for task in asyncio.all_tasks())


async def test_of_two_plugins_with_one_name_the_second_is_refused(install: Install, errors: list[str]) -> None:
    install("good", GOOD, entry="twin")
    install("other", GOOD, entry="twin")
    plugins = Plugins(SETTINGS)
    await plugins.start()
    await plugins.stop()
    assert ("good" in sys.modules) != ("other" in sys.modules)
    assert len(errors) == 1
    assert "uninstall one of them" in errors[0]


def test_one_object_by_name_as_transports_are_found(install: Install) -> None:
    install("carrier", "def create(context): return 'carried'", group=TRANSPORTS, entry="pigeon")
    assert load_one(TRANSPORTS, "pigeon")(None) == "carried"


def test_a_name_that_nobody_offers_lists_those_that_exist() -> None:
    with pytest.raises(StartError, match=r"'pigeon'.*memory.*websocket") as caught:
        load_one(TRANSPORTS, "pigeon")
    assert caught.value.code == "not_installed"
    with pytest.raises(StartError, match="none"):
        load_one("wsplatform.nothing", "pigeon")


def test_a_name_that_two_offer_is_settled_by_the_operator(install: Install) -> None:
    install("carrier", "def create(context): ...", group=TRANSPORTS, entry="pigeon")
    install("other-carrier", "def create(context): ...", group=TRANSPORTS, entry="pigeon")
    with pytest.raises(StartError, match="carrier and other-carrier") as caught:
        load_one(TRANSPORTS, "pigeon")
    assert caught.value.code == "ambiguous"


def test_a_transport_that_cannot_be_imported_names_its_distribution(install: Install) -> None:
    install("broken-carrier", "import nothing_of_this_name", group=TRANSPORTS, entry="pigeon")
    with pytest.raises(StartError, match=r"broken-carrier.*ModuleNotFoundError") as caught:
        load_one(TRANSPORTS, "pigeon")
    assert caught.value.code == "plugin_broken"
