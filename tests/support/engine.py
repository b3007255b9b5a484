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

PYTHON_IMAGE = os.environ.get("PYTHON_IMAGE", "python:3.12-slim")
HAPROXY_IMAGE = os.environ.get("HAPROXY_IMAGE", "haproxy:2.6")
_START_SECONDS = 30.0
_STOP_SECONDS = 20.0
_PULL_SECONDS = 120


class NoEngine(Exception):
    """Why there is none, in a sentence."""


@dataclass(frozen=True, slots=True)
class Engine:
    """`environment`: what the program docker needs to reach it."""

    environment: Mapping[str, str]

    def docker(self, *arguments: str, timeout: float = 60.0, check: bool = True, cwd: Path | None = None) -> str:
        """What it prints on standard output. Raises AssertionError with the rest if it fails."""
        done = subprocess.run(
            ["docker", *arguments],
            env={**os.environ, **self.environment},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, f"docker {' '.join(arguments)}:\n{done.stderr[-4000:]}"
        return done.stdout


@contextmanager
def engine(folder: Path) -> Iterator[Engine]:
    """One with compose and the base images. `folder`: for one that is started. Raises NoEngine."""
    if not _runs("docker", "compose", "version"):
        raise NoEngine("docker with its plugin compose is not installed")
    found = Engine({})
    if _runs("docker", "info"):
        _need_images(found)
        yield found
        return
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        raise NoEngine("no Docker engine runs, and one can be started only by root, with dockerd installed")
    with _started(folder) as found:
        _need_images(found)
        yield found


def _runs(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    try:
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


@contextmanager
def _started(folder: Path) -> Iterator[Engine]:
    """The host's network stays as it is: containers reach each other, and the host reaches them by their ports."""
    found = Engine({"DOCKER_HOST": f"unix://{folder}/docker.sock"})
    places = [f"--{name}={folder / name}" for name in ("data-root", "exec-root")]
    network = ["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--bridge=none"]
    with (folder / "dockerd.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "dockerd",
                *places,
                *network,
                "-H",
                found.environment["DOCKER_HOST"],
                f"--pidfile={folder / 'dockerd.pid'}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not found.docker("info", "--format", "{{.ServerVersion}}", check=False).strip():
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


def _need_images(found: Engine) -> None:
    for image in (PYTHON_IMAGE, HAPROXY_IMAGE):
        if found.docker("image", "ls", "--quiet", image).strip():
            continue
        try:
            found.docker("pull", "--quiet", image, timeout=_PULL_SECONDS)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            raise NoEngine(f"the base image {image} is not there and cannot be pulled") from error
