"""docker/compose.yaml as a reader of docs/deploying.md uses it: from a clean clone, with an engine that is real."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.docker.compose import Compose, tell
from tests.support.documents import ROOT
from tests.support.engine import Engine, NoEngine, engine


@pytest.fixture(scope="session")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    try:
        with engine(tmp_path_factory.mktemp("engine")) as found:
            yield found
    except NoEngine as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git would give to somebody else, as it is now."""
    folder = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = b"\0".join(name for name in listed.stdout.split(b"\0") if name and (ROOT / name.decode()).exists())
    packed = subprocess.run(["tar", "-c", "--null", "-T", "-"], cwd=ROOT, input=names, capture_output=True, check=True)
    subprocess.run(["tar", "-x"], cwd=folder, input=packed.stdout, check=True)
    return folder


@pytest.fixture(scope="session")
def built(docker: Engine, clone: Path) -> Iterator[Compose]:
    """With its image, and nothing that runs."""
    compose = Compose(docker, clone)
    compose.run("build", "--quiet", timeout=600)
    yield compose
    docker.docker("image", "rm", "--force", compose.image, check=False)


@pytest.fixture(scope="module")
def cluster(built: Compose) -> Iterator[Compose]:
    """Up, with two nodes."""
    began = time.monotonic()
    try:
        built.run("up", "--detach", "--wait", timeout=120)
        tell(f"from `up` to ready: {time.monotonic() - began:.1f} s")
        yield built
    finally:
        tell(built.run("logs", "--no-color", "--tail", "60", check=False))
        built.run("down", "--volumes", "--timeout", "2", check=False)
