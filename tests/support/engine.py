"""A Docker engine: the one that is running, or one that is started for the tests where that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.documents import ROOT

PARTS = Path(__file__).with_name("engine_parts.sh")
KEPT = ROOT / "build" / "engine"
"""What was fetched, for the next time."""

IMAGES = {"PYTHON_IMAGE": "python:3.12-slim", "HAPROXY_IMAGE": "haproxy:2.6"}
"""The base images, by the variables that name others."""

STAND_IN = "wsplatform-test-base:debian"
_START_SECONDS = 30.0
_STOP_SECONDS = 20.0
_PULL_SECONDS = 120
_FETCH_SECONDS = 180


class NoEngine(Exception):
    """Why there is none, in a sentence."""


@dataclass(frozen=True, slots=True)
class Engine:
    """`environment`: what the program docker needs to reach it, and the names of the base images."""

    environment: Mapping[str, str]

    def docker(self, *arguments: str, timeout: float = 60.0, check: bool = True, cwd: Path | None = None) -> str:
        """What it prints on standard output. Raises AssertionError with the rest if it fails."""
        done = self._run("docker", *arguments, timeout=timeout, cwd=cwd)
        assert not check or done.returncode == 0, f"docker {' '.join(arguments)}:\n{done.stderr[-4000:]}"
        return done.stdout

    def can(self, *arguments: str, timeout: float = 20.0) -> bool:
        """Whether `docker ARGUMENTS` does what it is asked within that time."""
        try:
            return self._run("docker", *arguments, timeout=timeout).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def _run(self, *command: str, timeout: float, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env={**os.environ, **self.environment},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


@contextmanager
def engine(folder: Path) -> Iterator[Engine]:
    """One with compose and the base images. `folder`: for one that is started. Raises NoEngine."""
    if shutil.which("docker") is None:
        raise NoEngine("docker is not installed")
    with _running(_with_compose(Engine({})), folder) as found:
        yield _with_images(found)


def _with_compose(found: Engine) -> Engine:
    if found.can("compose", "version"):
        return found
    plugins = KEPT / "config" / "cli-plugins"
    found = Engine({"DOCKER_CONFIG": str(plugins.parent)})
    if not found.can("compose", "version"):
        _fetch("plugins", plugins)
    return found


@contextmanager
def _running(found: Engine, folder: Path) -> Iterator[Engine]:
    if found.can("info"):
        yield found
    elif os.geteuid() != 0 or shutil.which("dockerd") is None:
        raise NoEngine("no Docker engine runs, and one can be started only by root, with dockerd installed")
    else:
        with _started(found, folder) as started:
            yield started


@contextmanager
def _started(found: Engine, folder: Path) -> Iterator[Engine]:
    """The host's network stays as it is: containers reach each other, and the host reaches them by their ports."""
    host = f"unix://{folder}/docker.sock"
    data = folder / "data-root"
    places = [f"--data-root={data}", f"--exec-root={folder / 'exec-root'}", f"--pidfile={folder / 'dockerd.pid'}"]
    network = ["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--bridge=none"]
    with (folder / "dockerd.log").open("wb") as log:
        process = subprocess.Popen(["dockerd", *places, *network, "-H", host], stdout=log, stderr=log)
    found = Engine({**found.environment, "DOCKER_HOST": host})
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not found.can("version"):
            if process.poll() is not None or time.monotonic() > deadline:
                lines = (folder / "dockerd.log").read_text(errors="replace").splitlines()
                raise NoEngine(f"dockerd does not start: {lines[-1] if lines else 'it says nothing'}")
            time.sleep(0.1)
        yield found
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(data, ignore_errors=True)


def _with_images(found: Engine) -> Engine:
    """With the base images: those that are named, or else one that stands in for both. Raises NoEngine."""
    named = {variable: os.environ.get(variable, image) for variable, image in IMAGES.items()}
    missing = [image for image in named.values() if not _there(found, image)]
    if not missing:
        return Engine({**found.environment, **named})
    if named != IMAGES:
        raise NoEngine(f"the base image {missing[0]} is not there and cannot be pulled")
    if not found.docker("image", "ls", "--quiet", STAND_IN).strip():
        root = KEPT / "base.tar"
        if not root.exists():
            _fetch("base", root)
        found.docker("import", str(root), STAND_IN, timeout=_FETCH_SECONDS)
    return Engine({**found.environment, **dict.fromkeys(IMAGES, STAND_IN)})


def _there(found: Engine, image: str) -> bool:
    listed = found.docker("image", "ls", "--quiet", image).strip()
    return bool(listed) or found.can("pull", "--quiet", image, timeout=_PULL_SECONDS)


def _fetch(what: str, place: Path) -> None:
    """Out of Debian's packages. Raises NoEngine."""
    if os.geteuid() != 0 or any(shutil.which(program) is None for program in ("apt-get", "mmdebstrap")):
        raise NoEngine(f"there is no {place.name}, and only root can make it, on Debian with mmdebstrap")
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        command = [str(PARTS), what, str(place)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise NoEngine(f"{PARTS.name} {what} takes too long") from error
    if done.returncode != 0:
        raise NoEngine(f"{PARTS.name} {what} fails: {done.stderr.strip()[-400:]}")
