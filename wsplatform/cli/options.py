"""Options that several commands share."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from wsplatform.settings import Settings

Command = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a command's settings come from, as its options say."""

    environment: str
    file: Path | None
    flags: dict[str, str]

    def load(self, **more: str | None) -> Settings:
        """The effective settings; `more`: flags of the command's own, `section__key`. Raises SettingsError."""
        from wsplatform.resources import folder
        from wsplatform.settings_load import load

        flags = {**self.flags, **{key.replace("__", "."): value for key, value in more.items() if value is not None}}
        return load(self.environment, folder("config"), file=self.file, environ=os.environ, flags=flags)


def with_settings(function: Command) -> Command:
    """Adds --env, --config and --set; the command gets `source: Source`."""

    @click.option(
        "--env",
        "environment",
        envvar="WSP_ENV",
        default="development",
        show_default=True,
        show_envvar=True,
        metavar="NAME",
        help="Which built-in settings to begin with: development, test or production.",
    )
    @click.option(
        "--config",
        "file",
        envvar="WSP_CONFIG",
        show_envvar=True,
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="A TOML file laid over them.",
    )
    @click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="SECTION.KEY=VALUE",
        help="One setting; may be repeated. Other users of the machine can see it:"
        " give secrets as WSP_SECTION__KEY or WSP_SECTION__KEY_FILE in the environment.",
    )
    @functools.wraps(function)
    def command(environment: str, file: Path | None, assignments: tuple[str, ...], **options: Any) -> Any:
        return function(source=Source(environment, file, _flags(assignments)), **options)

    return command


def _flags(assignments: tuple[str, ...]) -> dict[str, str]:
    flags = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or "." not in key:
            raise click.UsageError(f"--set {key} is not SECTION.KEY=VALUE.")
        flags[key.strip()] = value
    return flags


@dataclass(frozen=True, slots=True)
class Server:
    """Whom a command asks. `url` has no slash at its end; `key` may be empty."""

    url: str
    key: str


def with_registry(function: Command) -> Command:
    """Adds --server and --key; the command gets `server: Server`, for the admin API."""
    return _with_server(_with_key(function, "An admin key."), "Address of the registry.")


def with_node(function: Command) -> Command:
    """Adds --server and --key; the command gets `server: Server`, for the server API."""
    return _with_server(_with_key(function, "An API key."), "Address of any node, or of the load balancer.")


def with_client_face(function: Command) -> Command:
    """Adds --server; the command gets `server: Server`, without a key."""
    return _with_server(function, "Address of any node, or of the load balancer.")


def _with_key(function: Command, what: str) -> Command:
    return click.option("--key", envvar="WSP_KEY", default="", metavar="KEY", help=f"{what}  [env var: WSP_KEY]")(
        function
    )


def _with_server(function: Command, what: str) -> Command:
    @click.option(
        "--server",
        "url",
        envvar="WSP_SERVER",
        show_envvar=True,
        default="http://127.0.0.1:8000",
        show_default=True,
        metavar="URL",
        help=what,
    )
    @functools.wraps(function)
    def command(url: str, key: str = "", **options: Any) -> Any:
        if not (key.isascii() and key.isprintable()):
            raise click.UsageError("--key holds characters that no key has.")
        return function(server=Server(server_url(url), key), **options)

    return command


def server_url(text: str) -> str:
    """`host:port` or a URL as http(s)://host:port. Raises click.UsageError."""
    from urllib.parse import urlsplit

    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.username or parts.query or parts.fragment:
        raise click.UsageError("--server is not an address like http://127.0.0.1:8000.")
    return url.rstrip("/")


ACTIONS = (
    "rule.set",
    "rule.delete",
    "key.create",
    "key.revoke",
    "session.disconnect",
    "node.drain",
    "publish",
    "login",
    "logout",
    "login.refused",
)
"""registry/records.py: Action, without what that imports."""

AGGREGATIONS = ("rate", "sum", "mean", "min", "max", "last", "count", "p50", "p90", "p95", "p99", "p999")
"""core/series.py: Aggregation, likewise."""

limit_option = click.option(
    "--limit", type=click.IntRange(min=0), default=100, show_default=True, help="How many at most; 0: all."
)
json_option = click.option("--json", "json_", is_flag=True, help="One line of JSON, for programs.")
