"""Where settings come from. Later wins:

1. config/<environment>.toml
2. a file given with --config
3. environment variables WSP_SECTION__KEY; WSP_SECTION__KEY_FILE names a file that holds the value
4. flags, as {"section.key": text}
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, get_args, get_type_hints
from urllib.parse import urlsplit

import msgspec

from wsplatform.errors import SettingsError
from wsplatform.settings import (
    DEVELOPMENT_SECRETS,
    SECRET_KEYS,
    ClusterTable,
    Environment,
    NatsTable,
    RegistryTable,
    Settings,
)

PREFIX = "WSP_"
MASK = "********"
MIN_SECRET = 32
RETRY_SECONDS = 2.0
"""The longest wait of a node between two tries to reach the registry (core/node_life.py)."""
ENVELOPE_ROOM = 131_072
"""Bytes for what goes along with a publication between two nodes: its channel, its tags, who published it."""
CREDENTIALS_MARKS = ("-----BEGIN NATS USER JWT-----\n", "-----BEGIN USER NKEY SEED-----\n")
"""The lines before the two parts of a .creds file."""
_FILE = "_FILE"
_PEM_BLOCK = re.compile(r"-----BEGIN [^-]+-----.*?-----END [^-]+-----", re.DOTALL)

_HINTS: Mapping[str, Mapping[str, Any]] = {
    section: get_type_hints(table, include_extras=True)
    for section, table in get_type_hints(Settings).items()
    if isinstance(table, type) and issubclass(table, msgspec.Struct)
}
ENVIRONMENTS: tuple[str, ...] = get_args(Environment)


def load(
    environment: str,
    config_folder: Path,
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, str] | None = None,
) -> Settings:
    """The effective settings. Raises SettingsError with the key, the value and what is expected."""
    if environment not in ENVIRONMENTS:
        raise SettingsError("environment (--env, WSP_ENV)", repr(environment), "one of " + ", ".join(ENVIRONMENTS))
    values: dict[str, Any] = {}
    values.update(_from_file(config_folder / f"{environment}.toml"))
    if file is not None:
        values.update(_from_file(file))
    values.update(_from_texts(_environment_texts(environ or {})))
    values.update(_from_texts(flags or {}))
    settings = _build(environment, values)
    check(settings)
    return settings


def check_file(path: Path) -> None:
    """Validate one file by itself. Raises SettingsError."""
    check(_build("development", _from_file(path)))


def check(settings: Settings) -> None:
    """Values that have the right type and still cannot work. Raises SettingsError."""
    for key, texts in _secrets(settings):
        for text in texts:
            if len(text.encode()) < MIN_SECRET:
                raise SettingsError(key, MASK, f"at least {MIN_SECRET} bytes; try: openssl rand -hex 32")
    _check_url("node.url", settings.node.url, ("http", "https"))
    _check_url("cluster.url", settings.cluster.url, ("ws", "wss"))
    for url in settings.nats.urls:
        _check_url("nats.urls", url or "empty", ("nats", "tls"))
    _check_nats(settings.nats)
    _check_url("registry.url", settings.registry.url, ("http", "https"))
    if settings.cluster.dead_seconds <= settings.cluster.ping_seconds:
        dead = str(settings.cluster.dead_seconds)
        raise SettingsError("cluster.dead_seconds", dead, "more than cluster.ping_seconds")
    _check_registry(settings.registry)
    _check_sizes(settings)
    _check_tls(settings.cluster)


def check_production(settings: Settings, *, node: bool, registry: bool) -> None:
    """What a process of this role needs before it may start outside development. Raises SettingsError."""
    for key, texts in _secrets(settings):
        if settings.environment == "production" and DEVELOPMENT_SECRETS.intersection(texts):
            raise SettingsError(key, MASK, "a secret of your own: this one is public")
    if not settings.cluster.secrets:
        raise SettingsError("cluster.secrets", "[]", f"a secret of {MIN_SECRET} bytes or more, the same on every node")
    if registry and not settings.registry.admin_key:
        raise SettingsError("registry.admin_key", '""', f"a key of {MIN_SECRET} bytes or more for the first login")
    client = settings.client
    if node and not (client.allow_anonymous or client.token_hmac_secrets or client.token_public_keys):
        raise SettingsError("client.token_hmac_secrets", "[]", "a secret, or client.token_public_keys")
    if settings.environment == "production" and not settings.cluster.plaintext:
        _check_encrypted(settings, node=node, registry=registry)


def masked(settings: Settings) -> dict[str, Any]:
    """The settings as plain data with every secret replaced, for people to look at."""
    tables: dict[str, Any] = msgspec.to_builtins(settings)
    for key in SECRET_KEYS:
        section, name = key.split(".")
        value = tables[section][name]
        if value:
            tables[section][name] = [MASK] * len(value) if isinstance(value, list | tuple) else MASK
    return tables


def _secrets(settings: Settings) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "cluster.secrets", settings.cluster.secrets
    yield "client.token_hmac_secrets", settings.client.token_hmac_secrets
    if settings.registry.admin_key:
        yield "registry.admin_key", (settings.registry.admin_key,)


def _check_nats(nats: NatsTable) -> None:
    if bool(nats.user) != bool(nats.password):
        raise SettingsError("nats.password", MASK, "a user with a password, or neither")
    if sum(map(bool, (nats.user, nats.token, nats.credentials))) > 1:
        raise SettingsError("nats.token", MASK, "one of a user, a token and credentials")
    if nats.credentials and not all(mark in nats.credentials for mark in CREDENTIALS_MARKS):
        raise SettingsError("nats.credentials", MASK, "the text of a .creds file, with a user JWT and an NKEY seed")


def _check_registry(registry: RegistryTable) -> None:
    """A registry that comes back drops whoever has not reported in dead_seconds: nodes that retry must be quicker."""
    least = max(registry.heartbeat_seconds, RETRY_SECONDS) * 1.5
    if registry.dead_seconds < least:
        raise SettingsError("registry.dead_seconds", str(registry.dead_seconds), f"at least {least:g}")


def _check_sizes(settings: Settings) -> None:
    """What one node accepts must fit into one envelope to the others, with its channel and who published it."""
    room = settings.cluster.max_envelope_bytes - ENVELOPE_ROOM
    if room < 1:
        size = settings.cluster.max_envelope_bytes
        raise SettingsError("cluster.max_envelope_bytes", str(size), f"more than {ENVELOPE_ROOM}")
    for key, size in (
        ("api.max_publication_bytes", settings.api.max_publication_bytes),
        ("client.max_message_bytes", settings.client.max_message_bytes),
    ):
        if size > room:
            raise SettingsError(key, str(size), f"at most {room}, which fits into cluster.max_envelope_bytes")
    size = settings.cluster.max_envelope_bytes
    for key, most in (("outbox_bytes", settings.cluster.outbox_bytes), ("replay_bytes", settings.cluster.replay_bytes)):
        if size > most:
            raise SettingsError("cluster.max_envelope_bytes", str(size), f"at most cluster.{key}")


def _check_tls(cluster: ClusterTable) -> None:
    if cluster.tls_key and not cluster.tls_certificate:
        raise SettingsError("cluster.tls_key", repr(cluster.tls_key), "cluster.tls_certificate to be set as well")
    if cluster.tls_certificate and not cluster.port:
        expected = "cluster.port to be set: TLS is for a node face with a port of its own"
        raise SettingsError("cluster.tls_certificate", repr(cluster.tls_certificate), expected)
    if cluster.tls_certificate and urlsplit(cluster.url).scheme == "ws":
        raise SettingsError("cluster.url", repr(cluster.url), "wss://…, for there is cluster.tls_certificate")


def _check_encrypted(settings: Settings, *, node: bool, registry: bool) -> None:
    """What leaves the host must be TLS."""
    cluster = settings.cluster
    otherwise = "or cluster.plaintext = true where nobody else can read the network"
    key, host = ("cluster.host", cluster.host) if cluster.port else ("node.host", settings.node.host)
    if not cluster.tls_certificate and not _near(host):
        expected = f"127.0.0.1, or TLS for other nodes (cluster.port, cluster.tls_certificate), {otherwise}"
        raise SettingsError(key, repr(host), expected)
    parts = urlsplit(settings.registry.url)
    if node and not registry and parts.scheme == "http" and not _near(parts.hostname or ""):
        raise SettingsError("registry.url", repr(settings.registry.url), f"https://…, {otherwise}")
    if node and registry and settings.node.workers > 1 and not _near(settings.node.host):
        expected = f"127.0.0.1, or a registry started by itself (the one beside workers has no TLS), {otherwise}"
        raise SettingsError("node.host", repr(settings.node.host), expected)


def _near(host: str) -> bool:
    """Whether only this host can be meant."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _check_url(key: str, url: str, schemes: tuple[str, ...]) -> None:
    if not url:
        return
    expected = f"{schemes[0]}://host:port or {schemes[1]}://host:port"
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        usable = parts.scheme in schemes and bool(host.encode("idna")) and parts.port != 0
    except ValueError:
        usable = False
        parts = None
    if parts is not None and (parts.password or parts.username):
        raise SettingsError(key, MASK, expected + " without a user or password")
    if not usable:
        raise SettingsError(key, repr(url), expected)


def _from_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as handle:
            tables = tomllib.load(handle)
    except OSError as error:
        raise SettingsError("--config", str(path), f"a readable file ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError("--config", str(path), f"TOML ({error})") from error
    values = {}
    for section, table in tables.items():
        if section == "environment" or not isinstance(table, dict):
            raise SettingsError(section, _hidden(section, table), "a table, one of " + ", ".join(_HINTS))
        for name, value in table.items():
            values[f"{section}.{name}"] = value
    return values


def _environment_texts(environ: Mapping[str, str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or "__" not in variable:
            continue
        section, _, name = variable.removeprefix(PREFIX).lower().partition("__")
        key = f"{section}.{name}"
        if variable.endswith(_FILE) and name not in _HINTS.get(section, {}):
            if variable.removesuffix(_FILE) in environ:
                raise SettingsError(variable, _path(value), f"{variable.removesuffix(_FILE)} or a file of it, not both")
            texts[key.removesuffix(_FILE.lower())] = _file_text(variable, value)
        else:
            texts[key] = value
    return texts


def _file_text(variable: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(variable, _path(path), f"the name of a readable file ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise SettingsError(variable, _path(path), "the name of a file of UTF-8 text") from error


def _from_texts(texts: Mapping[str, str]) -> dict[str, Any]:
    return {key: _structured(text, _hint(key, text)) for key, text in texts.items()}


def _structured(text: str, hint: Any) -> Any:
    """Lists are written as JSON, as PEM blocks one after the other, or with commas; tables as JSON."""
    kind = str(hint)
    if text.startswith(("[", "{")) and ("tuple" in kind or "ChannelRule" in kind):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    if "tuple" not in kind:
        return text
    if text.startswith("-----BEGIN"):
        return _PEM_BLOCK.findall(text)
    return [part.strip() for part in re.split(r"[,\n]", text) if part.strip()]


def _hint(key: str, value: Any) -> Any:
    section, _, name = key.partition(".")
    hints = _HINTS.get(section)
    if hints is None:
        raise SettingsError(key, _hidden(key, value), "a section that exists: " + ", ".join(_HINTS))
    if name not in hints:
        raise SettingsError(key, _hidden(key, value), f"a key of [{section}]: " + ", ".join(sorted(hints)))
    return hints[name]


def _build(environment: str, values: Mapping[str, Any]) -> Settings:
    tables: dict[str, Any] = {section: {} for section in _HINTS}
    for key, value in values.items():
        hint = _hint(key, value)
        section, _, name = key.partition(".")
        try:
            tables[section][name] = msgspec.convert(value, hint, strict=not isinstance(value, str))
        except msgspec.ValidationError as error:
            raise SettingsError(key, _shown(key, value), expectation(error, hint)) from error
    return msgspec.convert({"environment": environment, **_plain(tables)}, Settings)


def _plain(tables: Mapping[str, Any]) -> Any:
    return msgspec.to_builtins(tables)


def _shown(key: str, value: Any) -> str:
    """A value as an error may show it: never a secret, and nothing under a name that looks like one."""
    if key in SECRET_KEYS or re.search(r"secret|key|password|token|database|credentials", key):
        return MASK
    return repr(value)


def _hidden(key: str, value: Any) -> str:
    """The same under a name that there is not, which may be that of a secret, misspelt: no text is shown."""
    return repr(value) if isinstance(value, int | float) or key == "environment" else MASK


def _path(text: str) -> str:
    """The same of what should be the name of a file, and may be the secret itself: shown if it begins like a path."""
    return text if text.startswith(("/", "./", "../")) else MASK


def expectation(error: msgspec.ValidationError, hint: Any) -> str:
    """What the type says of itself, when it does; else msgspec's words."""
    for item in getattr(hint, "__metadata__", ()):
        if isinstance(item, msgspec.Meta) and item.description:
            return item.description
    text = str(error)
    return text.removeprefix("Expected ").replace("`", "")
