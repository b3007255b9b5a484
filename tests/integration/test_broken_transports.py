"""Transports of other distributions that do not work: who is to blame is told, and those not chosen do not matter."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cli import wsplatform

Install = Callable[[str], dict[str, str]]

CARRIER = """
class Transport:
    async def start(self, local, events): ...
    async def stop(self): ...
    def set_peers(self, peers): ...
    def send(self, peer_id, envelope): return False
def create(context):
    return Transport()
"""
IMPORT = {
    "import": ("import nothing_of_this_name", "ModuleNotFoundError"),
    "exit": ("raise SystemExit(3)", "SystemExit"),
    "no-factory": ("pass", "AttributeError"),
    "no-call": ("create = 3", "cannot be called"),
}
MAKE = {
    "make": ("def create(context): raise KeyError('oops')", "KeyError"),
    "other": ("def create(context): return 42", "int is no transport, it has no start, stop, set_peers, send"),
    "half": (CARRIER.replace("def set_peers", "def set_pears"), "has no set_peers"),
    "start": (CARRIER.replace("events): ...", "events): raise ValueError('no wire')"), "ValueError: no wire"),
}


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """A distribution `bad-carrier` with the transport `pigeon`, as pip would install it; the variables to see it."""

    def install(source: str) -> dict[str, str]:
        (tmp_path / "bad_carrier.py").write_text(textwrap.dedent(source))
        metadata = tmp_path / "bad_carrier-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-carrier\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("[wsplatform.transports]\npigeon = bad_carrier:create\n")
        root = Path(__file__).parents[2]
        return {"PYTHONPATH": f"{tmp_path}:{root}", "WSP_CLUSTER__TRANSPORT": "pigeon", "WSP_CLUSTER__FALLBACK": ""}

    return install


def blames(errors: str, why: str) -> bool:
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    return "'pigeon' of bad-carrier" in line and why in line and line.endswith("[plugin_broken]")


@pytest.mark.parametrize("kind", IMPORT)
def test_the_settings_are_checked_with_the_transport_that_they_choose(install: Install, kind: str) -> None:
    source, why = IMPORT[kind]
    done = wsplatform("config", "check", "--env", "test", env=install(source))
    assert done.returncode == 1
    assert blames(done.stderr, why)


@pytest.mark.parametrize("kind", MAKE)
def test_a_node_says_who_is_to_blame_and_ends(install: Install, tmp_path: Path, kind: str) -> None:
    source, why = MAKE[kind]
    done = wsplatform("serve", "--env", "test", env=install(source), cwd=tmp_path)
    assert done.returncode == 1
    assert blames(done.stderr, why), done.stderr


def test_with_another_to_fall_back_on_both_are_named(install: Install, tmp_path: Path) -> None:
    environment = install(MAKE["start"][0]) | {"WSP_CLUSTER__FALLBACK": "http"}
    done = wsplatform("serve", "--env", "test", env=environment, cwd=tmp_path)
    assert done.returncode == 1
    assert blames(done.stderr, "ValueError: no wire"), done.stderr
    assert "'http' of wsplatform" in done.stderr


def test_one_that_is_not_chosen_does_not_matter(install: Install) -> None:
    environment = install(IMPORT["import"][0]) | {"WSP_CLUSTER__TRANSPORT": "websocket"}
    done = wsplatform("config", "check", "--env", "test", env=environment)
    assert done.returncode == 0, done.stderr


def test_a_failed_case_tells_its_values(install: Install, tmp_path: Path) -> None:
    test = "from wsplatform.testing import OneLoopContract\nfrom bad_carrier import create\n"
    test += "class TestBad(OneLoopContract):\n    async def meet(self, *nodes): ...\n"
    (tmp_path / "test_bad.py").write_text(test + "    def create(self, context): return create(context)\n")
    environment = install(CARRIER.replace("return False", "return True"))
    case = "test_bad.py::TestBad::test_stop_may_be_called_again_and_without_a_start"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:sanic", case]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "assert not True" in done.stdout, done.stdout


def test_a_tls_file_that_is_missing_is_found_by_the_check() -> None:
    done = wsplatform("config", "check", "--env", "test", "--set", "cluster.tls_ca=/nowhere/ca.pem")
    assert done.returncode == 1
    assert done.stderr.strip().endswith("[tls_file_unreadable]")


def test_a_name_that_nobody_offers_is_told_with_those_that_exist() -> None:
    done = wsplatform("config", "check", "--env", "test", "--set", "cluster.transport=pigeon")
    assert done.returncode == 1
    assert "'pigeon'" in done.stderr
    assert "websocket" in done.stderr
    assert done.stderr.strip().endswith("[not_installed]")
