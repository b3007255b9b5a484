"""HAProxy's configuration, from the settings and the cluster's view. Equal input gives equal bytes.

Written for HAProxy 2.6 and tried with it. Configuration manual: docs.haproxy.org, "Configuration Manual" 2.6.

A value reaches the text only after it has matched a pattern that leaves no room for a blank, a quote or a line end:
HAProxy's language has words and lines only, so nothing else can add a directive.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import get_type_hints

import msgspec

from wsplatform.errors import PlatformError, SettingsError
from wsplatform.model import NODE_ID_PATTERN, Member, View
from wsplatform.settings import HAProxyTable
from wsplatform.settings_load import expectation

MARK = "# Written by wsplatform"
"""The beginning of each file that was made here."""

BACKEND = "nodes"
COOKIE = "WSNODE"
UNROUTED = ("/cluster", "/admin", "/dashboard", "/metrics")
"""Beginnings of paths that are never passed on: the faces for nodes and operators."""

_NODE_ID = re.compile(NODE_ID_PATTERN, re.ASCII)
_INCARNATION = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_URL = re.compile(r"http://(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?/?", re.ASCII)
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)
_SPARE_DESCRIPTORS = 1000
"""Listeners, control sockets, a health check per server, and what HAProxy keeps for itself."""

_NOT_FOUND = '{"error":{"code":"not_found","message":"nothing is served under this path"}}'


@dataclass(frozen=True, slots=True)
class Server:
    """What HAProxy knows of a member, or of all members behind one address, by the id that is the first of theirs.

    named: the address has to be looked up. ready: one of them is.
    """

    name: str
    host: str
    port: int
    named: bool
    incarnation: str
    ready: bool

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Plan:
    """A configuration, the servers in it, and why some members are not among them."""

    text: str
    servers: tuple[Server, ...]
    refused: tuple[PlatformError, ...]


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
    for name in ("bind", "tls_bind"):
        listener = getattr(table, name)
        if listener and not 1 <= int(listener.rpartition(":")[2]) <= 65535:
            raise SettingsError(f"haproxy.{name}", repr(listener), "a port from 1 to 65535")
    if not table.bind and not (table.certificate and table.tls_bind):
        expected = "host:port, or haproxy.tls_bind and haproxy.certificate: HAProxy would listen nowhere"
        raise SettingsError("haproxy.bind", '""', expected)
    if table.certificate and table.bind == table.tls_bind:
        raise SettingsError("haproxy.tls_bind", repr(table.tls_bind), "another port than haproxy.bind")


def server(member: Member) -> Server:
    """The member as a server. Raises PlatformError, code bad_member, when its id or address cannot be written."""
    if not _NODE_ID.fullmatch(member.node_id):
        raise _bad(member, "its id has to be letters, digits and _ . - (64 at most)")
    if not _INCARNATION.fullmatch(member.incarnation):
        raise _bad(member, "its incarnation has to be letters, digits and _ . - (64 at most)")
    match = _URL.fullmatch(member.client_url)
    port = int(match[2] or 80) if match else 0
    if match is None or not 1 <= port <= 65535:
        raise _bad(member, "its address (node.url) has to be http://host:port")
    host = match[1]
    named = not _is_address(host)
    if named and not all(_LABEL.fullmatch(label) for label in host.removesuffix(".").split(".")):
        raise _bad(member, "its address (node.url) names no host")
    return Server(member.node_id, host, port, named, member.incarnation, member.ready)


def plan(table: HAProxyTable, members: Iterable[Member]) -> Plan:
    """The configuration of all members that clients can be sent to; one that cannot be written harms no other.

    Members that share an address, as the workers of one host do, are one server: its connections and health checks
    reach any of them, and it is drained when the last of them says so.

    Raises SettingsError.
    """
    check_table(table)
    servers: dict[tuple[str, int], Server] = {}
    names: set[str] = set()
    refused: list[PlatformError] = []
    for member in sorted(members, key=lambda member: (member.node_id, member.incarnation)):
        if not member.client_url:  # takes part in the cluster without clients: the registry
            continue
        try:
            entry = server(member)
        except PlatformError as error:
            refused.append(error)
            continue
        if entry.name in names:
            refused.append(_bad(member, "another member has the same id"))
            continue
        names.add(entry.name)
        place = (entry.host, entry.port)
        first = servers.setdefault(place, entry)
        servers[place] = replace(first, ready=first.ready or entry.ready)
    chosen = tuple(servers.values())
    return Plan(_text(table, chosen), chosen, tuple(refused))


def render(table: HAProxyTable, members: Iterable[Member]) -> str:
    """As `plan`, for callers who want all members or none.

    Raises SettingsError, and PlatformError (code bad_member) for the first member that cannot be written.
    """
    result = plan(table, members)
    if result.refused:
        raise result.refused[0]
    return result.text


def render_for_view(table: HAProxyTable, view: View) -> str:
    """The configuration for a view. Raises as `render`."""
    return render(table, view.members)


def _bad(member: Member, why: str) -> PlatformError:
    return PlatformError("bad_member", f"Node {member.node_id!a:.80} is not given to HAProxy: {why}.")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _text(table: HAProxyTable, servers: tuple[Server, ...]) -> str:
    sections = (
        [f"{MARK}, and written again whenever the cluster changes: edits do not last."],
        _global(table),
        _defaults(table),
        _frontend(table),
        _backend(servers),
    )
    return "\n".join(line for section in sections for line in section) + "\n"


def _global(table: HAProxyTable) -> list[str]:
    account = [f"    {name} {value}" for name, value in (("user", table.user), ("group", table.group)) if value]
    return [
        "global",
        *account,
        "    log stdout format raw local0 info",
        f"    stats socket {table.stats_socket} mode 660 level admin",
        f"    server-state-file {state_file(table)}",
        # No global maxconn: HAProxy refuses to start when it may not open enough descriptors for it, which `haproxy -c`
        # does not tell. With this bound it takes what it may have, and not the millions that containers often allow.
        f"    fd-hard-limit {2 * table.max_connections + _SPARE_DESCRIPTORS}",
        "    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets",
        # No hard-stop-after: it would cut the websockets that an old worker still carries after a reload.
    ]


def _defaults(table: HAProxyTable) -> list[str]:
    return [
        "defaults",
        "    mode http",
        "    log global",
        # As httplog, but the path without its query, in which a client may have put a token.
        '    log-format "%ci:%cp %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %HM %HPO"',
        "    option dontlognull",
        *([] if table.log_requests else ["    option dontlog-normal"]),
        # A request is never sent on a connection that the node may be about to close: a publish cannot be repeated.
        "    option http-server-close",
        "    option http-restrict-req-hdr-names delete",
        "    option redispatch 1",
        "    retries 3",
        "    retry-on conn-failure empty-response",
        "    load-server-state-from-file global",
        "    timeout connect 2s",
        "    timeout http-request 10s",
        "    timeout http-keep-alive 10s",
        "    timeout queue 5s",
        "    timeout client 30s",
        "    timeout server 30s",
        "    timeout check 1s",
        f"    timeout tunnel {int(table.tunnel_seconds * 1000)}ms",
        "    timeout client-fin 10s",
        "    timeout server-fin 10s",
    ]


def _frontend(table: HAProxyTable) -> list[str]:
    listeners = [f"    bind {table.bind} proto h1"] if table.bind else []
    if table.certificate and table.tls_bind:
        listeners.append(f"    bind {table.tls_bind} ssl crt {table.certificate} alpn http/1.1")
    not_found = f"    http-request return status 404 content-type application/json string '{_NOT_FOUND}'"
    return [
        "frontend clients",
        *listeners,
        f"    maxconn {table.max_connections}",
        # What is refused is looked for in the path as the least careful reader would see it: decoded, in lower case.
        # A path that could be read in two ways (dots, doubled or backward slashes) goes nowhere.
        "    http-request set-var(txn.path) path,url_dec,lower",
        "    acl odd_path var(txn.path) -m reg '//' '(^|/)[.][.]?([/;]|$)' '[\\\\[:cntrl:]]'",
        "    acl unrouted var(txn.path) -m beg " + " ".join(UNROUTED),
        f"{not_found} if odd_path or unrouted",
        f"{not_found} unless {{ path -m beg / }}",
        "    http-request del-header X-Forwarded- -m beg",
        "    http-request del-header X-Real-IP",
        "    http-request del-header Forwarded",
        "    http-request set-header X-Forwarded-For %[src]",
        "    http-request set-header X-Forwarded-Proto http unless { ssl_fc }",
        "    http-request set-header X-Forwarded-Proto https if { ssl_fc }",
        # A request that a node has read is sent to another one only when that can do no harm.
        "    http-request disable-l7-retry unless METH_GET",
        f"    default_backend {BACKEND}",
    ]


def _backend(servers: tuple[Server, ...]) -> list[str]:
    cookie = f'    http-response add-header Set-Cookie "{COOKIE}=%s; Path=/; HttpOnly; SameSite=Lax'
    return [
        f"backend {BACKEND}",
        "    balance leastconn",
        "    option httpchk",
        "    http-check disable-on-404",
        "    http-check send meth GET uri /health/ready ver HTTP/1.1 hdr Host wsplatform",
        "    http-check expect status 200",
        # Not `cookie` on each server: servers that are added at run time cannot have it.
        f"    http-request set-var(txn.node) req.cook({COOKIE})",
        "    acl same_node srv_name,strcmp(txn.node) eq 0",
        f'{cookie}" unless same_node or {{ ssl_fc }}',
        f'{cookie}; Secure" if {{ ssl_fc }} !same_node',
        "    use-server %[var(txn.node)] if { var(txn.node) -m found }",
        "    default-server check inter 1s fastinter 250ms downinter 500ms rise 1 fall 2 weight 100",
        # A name that cannot be looked up leaves its server down instead of stopping HAProxy; without "last", the
        # address is not taken from the state file, where it would be that of an earlier run.
        "    default-server init-addr libc,none",
        *(line for entry in servers for line in _server(entry)),
    ]


def _server(entry: Server) -> list[str]:
    line = f"    server {entry.name} {entry.address}"
    if not entry.named:
        return [line]
    # Names are looked up when HAProxy reads the file: a new run of the node, perhaps elsewhere, has to change the text.
    return [f"    # {entry.name} is run {entry.incarnation}", line]
