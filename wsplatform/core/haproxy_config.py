"""HAProxy's configuration, from the settings and the cluster's view. Equal input gives equal bytes.

Written for HAProxy 2.6 and tried with it. Configuration manual: docs.haproxy.org, "Configuration Manual" 2.6.

A value reaches the text only after it has matched a pattern that leaves no room for a blank, a quote or a line end:
HAProxy's language has words and lines only, so nothing else can add a directive. What the user's own snippets say is
the user's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import get_type_hints

import msgspec

from wsplatform.core import haproxy_sections as sections
from wsplatform.core.haproxy_sections import Snippets
from wsplatform.core.haproxy_servers import Place, Server, locate, servers
from wsplatform.errors import PlatformError, SettingsError
from wsplatform.model import Member, View
from wsplatform.settings import HAProxyTable
from wsplatform.settings_load import expectation

MARK = "# Written by wsplatform"
"""The beginning of each file that was made here."""

_SEAL = "# Seal: "


@dataclass(frozen=True, slots=True)
class Plan:
    """A configuration, the servers in it, and why some members are not among them.

    structure: names what of the text cannot be changed without a reload. It is in the text, as the description of the
    process, which a running HAProxy tells.
    """

    text: str
    structure: str
    servers: tuple[Server, ...]
    refused: tuple[PlatformError, ...] = field(default=())


def state_file(table: HAProxyTable) -> str:
    return f"{table.config_file}.state"


def check_table(table: HAProxyTable) -> None:
    """Raises SettingsError for what cannot be written, or would listen nowhere."""
    for name, hint in get_type_hints(HAProxyTable, include_extras=True).items():
        value = getattr(table, name)
        try:
            msgspec.convert(value, hint)
        except msgspec.ValidationError as error:
            raise SettingsError(f"haproxy.{name}", repr(value), expectation(error, hint)) from error
    for name in ("bind", "tls_bind", "status_bind"):
        listener = getattr(table, name)
        if listener and not 1 <= int(listener.rpartition(":")[2]) <= 65535:
            raise SettingsError(f"haproxy.{name}", repr(listener), "a port from 1 to 65535")
    _check_listeners(table)
    if table.operators_url and not locate(table.operators_url)[0]:
        raise SettingsError("haproxy.operators_url", repr(table.operators_url), "http://host:port of the registry")


def plan(
    table: HAProxyTable,
    members: Iterable[Member],
    *,
    names: Mapping[Place, str] | None = None,
    snippets: Snippets | None = None,
) -> Plan:
    """The configuration of all members that clients can be sent to; one that cannot be written harms no other.

    names: of servers that HAProxy has (haproxy_servers.servers). Raises SettingsError.
    """
    check_table(table)
    chosen, refused = servers(members, names or {})
    own = snippets or Snippets()
    structure = sha256(_text(table, _fixed(chosen), own, "").encode()).hexdigest()[:16]
    return Plan(seal(_text(table, chosen, own, structure)), structure, chosen, refused)


def render(table: HAProxyTable, members: Iterable[Member], snippets: Snippets | None = None) -> str:
    """As `plan`, for callers who want all members or none.

    Raises SettingsError, and PlatformError (code bad_member) for the first member that cannot be written.
    """
    result = plan(table, members, snippets=snippets)
    if result.refused:
        raise result.refused[0]
    return result.text


def render_for_view(table: HAProxyTable, view: View) -> str:
    """The configuration for a view. Raises as `render`."""
    return render(table, view.members)


def seal(text: str) -> str:
    """With a last line by which a later change shows."""
    return f"{text}{_SEAL}{sha256(text.encode()).hexdigest()}\n"


def untouched(text: str) -> bool:
    """Whether this is as `plan` has made it, and nobody has edited it."""
    body, mark, _ = text.rpartition(_SEAL)
    return bool(mark) and body.startswith(MARK) and seal(body) == text


def _check_listeners(table: HAProxyTable) -> None:
    tls = bool(table.certificate and table.tls_bind)
    if not table.bind and not tls:
        expected = "host:port, or haproxy.tls_bind and haproxy.certificate: HAProxy would listen nowhere"
        raise SettingsError("haproxy.bind", '""', expected)
    if table.certificate and table.bind == table.tls_bind:
        raise SettingsError("haproxy.tls_bind", repr(table.tls_bind), "another port than haproxy.bind")
    if table.status_bind and table.status_bind in (table.bind, table.tls_bind if tls else ""):
        raise SettingsError("haproxy.status_bind", repr(table.status_bind), "a port of its own")
    if table.redirect and not tls:
        raise SettingsError("haproxy.redirect", "true", "haproxy.tls_bind and haproxy.certificate, to redirect to")


def _fixed(chosen: Iterable[Server]) -> tuple[Server, ...]:
    """Those that cannot be added to a running HAProxy, which looks names up when it reads the file."""
    return tuple(replace(entry, weight=1) for entry in chosen if entry.named)


def _text(table: HAProxyTable, chosen: tuple[Server, ...], snippets: Snippets, structure: str) -> str:
    parts = (
        [f"{MARK}, and written again whenever the cluster changes: edits do not last."],
        [*sections.global_(table, state_file(table), structure), *snippets.lines("global")],
        [*sections.defaults(table), *snippets.lines("defaults")],
        [*sections.frontend(table), *snippets.lines("frontend")],
        # Its own lines come before the servers, which are added to and taken away at the end.
        [*sections.backend(), *snippets.lines("backend"), *sections.server_lines(chosen)],
        sections.operators(table),
        sections.status(table),
        snippets.lines("sections"),
    )
    return "\n".join(line for part in parts for line in part) + "\n"
