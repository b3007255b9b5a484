"""What runs the program elsewhere: deploy/kubernetes, deploy/systemd and docker/, as far as files can be wrong."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.support.documents import ROOT
from wsplatform.resources import folder
from wsplatform.settings import SECRET_KEYS
from wsplatform.settings_load import check_production, load

KUBERNETES = sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))
VERSIONS = ("1.29", "1.37")
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
COMPOSE = ROOT / "docker" / "compose.yaml"
SECRET = "s" * 32
EXPOSURE = 20
"""Of 100, as `systemd-analyze security` counts: what a service could do beyond its task."""


class Loader(yaml.SafeLoader):
    """As strict as it can be: a key that comes twice is an error, and so is a tag that is not compose's."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        names = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        assert len(names) == len(set(names)), f"twice the same: {node.start_mark}"
        return super().construct_mapping(node, deep)


Loader.add_constructor("!reset", lambda loader, node: None)


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.load_all(path.read_text(), Loader))


OBJECTS = [document for path in KUBERNETES for document in documents(path)]
WORKLOADS = [document for document in OBJECTS if document["kind"] in {"Deployment", "StatefulSet"}]


def test_there_is_something() -> None:
    assert len(OBJECTS) == 7
    assert [document["metadata"]["name"] for document in WORKLOADS] == ["wsplatform-node", "wsplatform-registry"]
    assert len(UNITS) == 2


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("document", OBJECTS, ids=lambda document: f"{document['kind']}-{document['metadata']['name']}")
def test_kubernetes_knows_every_field(document: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


def test_what_they_name_is_there() -> None:
    names = {(document["kind"], document["metadata"]["name"]) for document in OBJECTS}
    assert len(names) == len(OBJECTS)
    for document in WORKLOADS:
        spec = document["spec"]
        template = spec["template"]
        assert ("Service", spec.get("serviceName", "wsplatform")) in names
        assert spec["selector"]["matchLabels"] == template["metadata"]["labels"]
        claims = [claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])]
        for constraint in template["spec"].get("topologySpreadConstraints", []):
            assert constraint["labelSelector"] == spec["selector"]
        volumes = {volume["name"] for volume in template["spec"]["volumes"]} | set(claims)
        for container in template["spec"]["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
            ports = {port["name"] for port in container["ports"]}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                assert container[probe]["httpGet"]["port"] in ports
    every_port = {
        port["name"] for spec in WORKLOADS for port in spec["spec"]["template"]["spec"]["containers"][0]["ports"]
    }
    for document in OBJECTS:
        for port in document["spec"].get("ports", []):
            assert port["targetPort"] in every_port
        for rule in document["spec"].get("ingress", []):
            assert {port["port"] for port in rule["ports"]} <= every_port
        selector = document["spec"].get("selector", {})
        labels = selector.get("matchLabels", selector)
        assert not labels or any(
            labels.items() <= one["spec"]["template"]["metadata"]["labels"].items() for one in WORKLOADS
        )


@pytest.mark.parametrize("document", WORKLOADS, ids=lambda document: document["metadata"]["name"])
def test_pods_are_confined(document: dict[str, Any]) -> None:
    pod = document["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False, "a Service named wsp-… would be taken for settings"
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert not context["allowPrivilegeEscalation"]
        assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("document", WORKLOADS, ids=lambda document: document["metadata"]["name"])
def test_the_settings_of_pods_can_be_used(document: dict[str, Any], tmp_path: Path) -> None:
    container = document["spec"]["template"]["spec"]["containers"][0]
    environ = {entry["name"]: entry.get("value", "node-0") for entry in container["env"]}
    role = container["args"][-1]
    mounted = [mount["mountPath"] for mount in container["volumeMounts"]]
    settings = production(environ, role, mounted, tmp_path)
    assert settings.cluster.port == 7000
    grace = document["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    if role == "node":
        (wait,) = container["lifecycle"]["preStop"]["exec"]["command"][1:]
        assert grace >= float(wait) + settings.node.drain_seconds + 15
        service = next(
            one for one in OBJECTS if one["metadata"]["name"] == "wsplatform-registry" and one["kind"] == "Service"
        )
        assert settings.registry.url == f"http://wsplatform-registry:{service['spec']['ports'][1]['port']}"


@pytest.mark.parametrize("service", ["registry", "node"])
def test_the_settings_of_compose_can_be_used(service: str, tmp_path: Path) -> None:
    (compose,) = documents(COMPOSE)
    found = compose["services"][service]
    environ = {name: filled(str(value)) for name, value in found["environment"].items()}
    settings = production(environ, service, ["/run/secrets", "/var/lib/wsplatform", "/srv/haproxy"], tmp_path)
    assert {Path(path).name for name, path in environ.items() if name.endswith("_FILE") and "/run/" in path} <= set(
        found["secrets"]
    )
    if service == "node":
        assert float(filled(found["stop_grace_period"]).removesuffix("s")) >= settings.node.drain_seconds + 15


@pytest.mark.parametrize("path", sorted((ROOT / "docker").glob("compose*.yaml")), ids=lambda path: path.name)
def test_compose_files_give_no_secret_and_mount_what_is_there(path: Path) -> None:
    (compose,) = documents(path)
    (main,) = documents(COMPOSE)
    for name, service in compose["services"].items():
        for variable in service.get("environment") or {}:
            key = variable.removeprefix("WSP_").lower().replace("__", ".")
            assert key not in SECRET_KEYS or variable == "WSP_REGISTRY__DATABASE", f"{name}: {variable}"
        for secret in service.get("secrets", []):
            assert secret in {**compose.get("secrets", {}), **main["secrets"]}
        for config in service.get("configs", []):
            assert (path.parent / compose["configs"][config["source"]]["file"]).is_file()


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_the_settings_of_units_can_be_used(path: Path, tmp_path: Path) -> None:
    text = path.read_text()
    environ = dict(
        line.removeprefix("Environment=").split("=", 1) for line in text.splitlines() if "Environment=" in line
    )
    environ = {name: value.replace("%i", "n1").replace("%d", "/run/secrets") for name, value in environ.items()}
    credentials = {line.partition("=")[2].partition(":")[0] for line in text.splitlines() if line.startswith("LoadC")}
    assert {Path(value).name for value in environ.values() if value.startswith("/run/secrets")} == credentials
    assert environ.pop("WSP_CONFIG").startswith("/etc/wsplatform/")
    assert environ.pop("WSP_ENV") == "production"
    role = text.partition("--role ")[2].partition("\n")[0]
    settings = production({**environ, "WSP_CLUSTER__PLAINTEXT": "true"}, role, ["/run/secrets"], tmp_path)
    if role == "node":
        assert int(text.partition("TimeoutStopSec=")[2].partition("\n")[0]) >= settings.node.drain_seconds + 15


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_accepts_the_units(path: Path, tmp_path: Path) -> None:
    unit = tmp_path / path.name.replace("@", "@n1")
    unit.write_text(path.read_text().replace("/opt/wsplatform/bin/wsplatform", "/bin/true"))
    verified = systemd("verify", str(unit))
    assert not [line for line in verified.splitlines() if path.stem in line or "n1" in line], verified
    systemd("security", "--offline=yes", f"--threshold={EXPOSURE}", str(unit))


def systemd(*arguments: str) -> str:
    done = subprocess.run(
        ["systemd-analyze", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def production(environ: dict[str, str], role: str, mounted: list[str], folder_of_secrets: Path) -> Any:
    """The settings of such a process, whose files of secrets are below one of `mounted`."""
    secret = folder_of_secrets / "secret"
    secret.write_text(SECRET)
    for name, value in list(environ.items()):
        if name.endswith("_FILE") and value.startswith(("/run/secrets", "/etc")):
            assert any(value.startswith(f"{place}/") for place in mounted), value
            environ[name] = str(secret)
    settings = load("production", folder("config"), environ=environ)
    check_production(settings, node=role == "node", registry=role == "registry")
    return settings


def filled(text: str) -> str:
    """With the variables of compose at what they are by default."""
    return re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", text)


def test_the_page_names_every_variable_of_compose() -> None:
    files = "".join(path.read_text() for path in (ROOT / "docker").glob("compose*.yaml"))
    used = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", files.replace(":-DEBUG}", ":-INFO}")))
    defaults = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", COMPOSE.read_text()))
    page = (ROOT / "docs" / "deploying.md").read_text()
    told: dict[str, str] = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:3]]
        names = re.findall(r"`([A-Z_]{4,})`", cells[0]) if len(cells) == 2 else []
        values = [value.strip("` ") for value in cells[1].split(", ")] if names else []
        told.update(zip(names, values, strict=True) if names else ())
    assert told.keys() == used.keys()
    assert {name: told[name] for name in defaults} == defaults


def listed() -> Iterator[str]:
    yield from (ROOT / ".dockerignore").read_text().splitlines()


def test_the_image_is_made_from_what_it_needs_alone() -> None:
    """Whatever is added to the checkout, a database with secrets too, stays out of it."""
    lines = [line for line in listed() if line and not line.startswith("#")]
    assert lines[0] == "*"
    admitted = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert admitted == {
        "LICENSE",
        "README.md",
        "config",
        "constraints.txt",
        "examples/chat",
        "migrations",
        "pyproject.toml",
        "wsplatform",
    }
