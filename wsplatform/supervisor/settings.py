"""The settings of each process that a supervisor starts, from those that it has itself. Pure."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import msgspec

from wsplatform.errors import SettingsError
from wsplatform.settings import Settings

_LONGEST_ID: Final = 64
_DEFAULT_PORTS: Final = {"ws": 80, "wss": 443}


def check(settings: Settings) -> None:
    """What several workers need of settings that are good for one. `node.id` must be set. Raises SettingsError."""
    workers, cluster = settings.node.workers, settings.cluster
    room = _LONGEST_ID - len(f"-{workers}")
    if len(settings.node.id) > room:
        raise SettingsError("node.id", repr(settings.node.id), f"at most {room} characters, for each worker adds some")
    last = 65_536 - workers
    if cluster.port > last:
        raise SettingsError("cluster.port", str(cluster.port), f"at most {last}: {workers} workers take one each")
    if cluster.url and not cluster.port:
        raise SettingsError("cluster.port", "0", "the port of the first worker, for cluster.url names an address")
    if cluster.url and _port(cluster.url) > last:
        raise SettingsError("cluster.url", repr(cluster.url), f"a port up to {last}: {workers} workers take one each")


def worker(settings: Settings, number: int) -> Settings:
    """Of worker `number`, from 1. Its node face has ports of its own: that of the clients leads to any worker."""
    cluster = settings.cluster
    return msgspec.structs.replace(
        settings,
        node=msgspec.structs.replace(settings.node, id=f"{settings.node.id}-{number}", workers=1),
        cluster=msgspec.structs.replace(
            cluster,
            host=cluster.host if cluster.port else settings.node.host,
            port=cluster.port + number - 1 if cluster.port else 0,
            url=_shifted(cluster.url, number - 1) if cluster.url else "",
        ),
    )


def registry(settings: Settings) -> Settings:
    """Of the registry beside workers: it has one listener, for operators and nodes."""
    node = msgspec.structs.replace(settings.node, id=f"{settings.node.id}-registry"[-_LONGEST_ID:], url="", workers=1)
    cluster = msgspec.structs.replace(settings.cluster, port=0, url="")
    return msgspec.structs.replace(settings, node=node, cluster=cluster)


def _port(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or _DEFAULT_PORTS[parts.scheme]


def _shifted(url: str, ports: int) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    name = f"[{host}]" if ":" in host else host
    return parts._replace(netloc=f"{name}:{_port(url) + ports}").geturl()
