"""The image of docker/Dockerfile: what is in it, and what is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.docker.compose import Compose, tell

pytestmark = pytest.mark.timeout(240, func_only=True)

OURS_BYTES = 150_000_000
"""At most so much is added to the base image."""


def run(compose: Compose, *command: str, check: bool = True) -> str:
    options = ("--rm", "--network=none", "--read-only", "--cap-drop=ALL", "--entrypoint", command[0])
    return compose.docker.docker("run", *options, compose.image, *command[1:], check=check)


@pytest.fixture(scope="module")
def image(built: Compose) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(built.docker.docker("image", "inspect", built.image))[0]
    return found


def test_it_says_what_it_is(image: dict[str, Any]) -> None:
    config = image["Config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["wsplatform"]
    assert config["Healthcheck"]["Test"] == ["CMD", "wsplatform", "health"]
    assert config["StopSignal"] == "SIGTERM"
    labels = config["Labels"]
    names = ("title", "description", "licenses", "version", "revision", "created")
    assert {f"org.opencontainers.image.{name}" for name in names} <= labels.keys()
    assert not [entry for entry in config["Env"] if "SECRET" in entry or "KEY" in entry.partition("=")[0].split("_")]


def test_it_is_small(built: Compose, image: dict[str, Any]) -> None:
    base = json.loads(built.docker.docker("image", "inspect", built.docker.environment["PYTHON_IMAGE"]))[0]["Size"]
    tell(f"image: {image['Size'] / 1e6:.0f} MB, of which the base has {base / 1e6:.0f} MB")
    assert image["Size"] - base < OURS_BYTES


def test_it_has_no_compiler_no_tests_and_no_secrets(built: Compose) -> None:
    script = """
        for tool in cc gcc g++ clang make ld; do ! command -v $tool || exit 1; done
        ls /opt/wsplatform/lib/python3.*/site-packages | grep -x -e pip -e pytest -e mypy -e tests && exit 1
        find / -xdev \\( -path /proc -o -path /sys \\) -prune -o \\
            \\( -name secrets.sh -o -name constraints.txt -o -name '*.db' -o -name .git -o -name '*secret' \\) -print
        find / -xdev -name '*.pem' -not -path '*/ssl/*' -not -name cacert.pem -print
    """
    assert run(built, "sh", "-c", f"exec 2>/dev/null; {script} true").strip() == ""


def test_its_python_packages_are_the_pinned_ones(built: Compose) -> None:
    listed = "{d.name.lower(): d.version for d in importlib.metadata.distributions()}"
    code = f"import importlib.metadata, json; print(json.dumps({listed}))"
    installed = json.loads(run(built, "/opt/wsplatform/bin/python", "-c", code))
    lines = (built.folder.parent / "constraints.txt").read_text().splitlines()
    pinned = dict(line.lower().split("==") for line in lines if "==" in line)
    names = {name.replace("_", "-"): version for name, version in installed.items()} | installed
    assert {name: version for name, version in names.items() if pinned.get(name, version) != version} == {}
    assert {"sanic", "uvloop", "psycopg", "nats-py", "wsplatform"} <= names.keys()


def test_it_has_the_haproxy_that_checks(built: Compose) -> None:
    assert "HAProxy version" in run(built, "/opt/haproxy/haproxy", "-v")
    rendered = run(
        built, "wsplatform", "haproxy", "render", "--env", "development", "--node", "n1=http://10.0.0.1:8000"
    )
    assert "server n1 10.0.0.1:8000" in rendered


def test_it_serves_with_nothing_that_can_be_written(built: Compose) -> None:
    """One process of role all, in memory."""
    docker = built.docker.docker
    settings = {"NODE__PORT": "8000", "REGISTRY__DATABASE": "sqlite:///:memory:"}
    options = [f"--env=WSP_{name}={value}" for name, value in settings.items()]
    container = docker(
        *("run", "--detach", "--network=none", "--read-only", "--cap-drop=ALL", "--env=WSP_ENV=development"),
        *(*options, built.image),
    ).strip()
    try:
        script = "until wsplatform health; do sleep 0.2; done"
        assert docker("exec", container, "timeout", "50", "sh", "-c", script).endswith("ready\n")
        docker("stop", "--time", "20", container)
        assert json.loads(docker("inspect", container))[0]["State"]["ExitCode"] == 0
    finally:
        docker("rm", "--force", container)
