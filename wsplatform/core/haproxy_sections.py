"""The sections of HAProxy's configuration, as lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from wsplatform.core.haproxy_servers import Server, locate
from wsplatform.settings import HAProxyTable

BACKEND: Final = "nodes"
COOKIE: Final = "WSNODE"
PRIVATE: Final = ("/cluster", "/metrics")
"""Beginnings of paths that are never passed on: the face for nodes, and figures."""

METRICS: Final = "/metrics"
"""Where Prometheus reads HAProxy itself, on the status page's address."""

OPERATORS: Final = ("/admin", "/dashboard")
"""Those of the operators' face, which the registry has."""

CHECK: Final = "check inter 1s fastinter 250ms downinter 500ms rise 1 fall 2"
"""The words of a server about its health, in the file and when it is added to a running HAProxy."""

PERIOD: Final = 10
"""Seconds over which rates are counted."""

Section = Literal["global", "defaults", "frontend", "backend", "sections"]
SECTIONS: Final[tuple[Section, ...]] = get_args(Section)

_SPARE_DESCRIPTORS = 1000
"""Listeners, control sockets, a health check per server, and what HAProxy keeps for itself."""

_NOT_FOUND = '{"error":{"code":"not_found","message":"nothing is served under this path"}}'
_TOO_MANY = '{"error":{"code":"too_many_requests","message":"too much from this address: try again later"}}'
_NO_HOST = '{"error":{"code":"bad_request","message":"a request needs a Host"}}'
# Mozilla's "intermediate" (wiki.mozilla.org/Security/Server_Side_TLS), without the suites that need DH parameters.
_CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
_SUITES = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"


@dataclass(frozen=True, slots=True)
class Snippets:
    """A user's own lines, by the section at whose end they are put; "sections": whole ones, at the end of the file."""

    texts: Mapping[Section, str] = field(default_factory=dict)

    def lines(self, section: Section) -> list[str]:
        text = self.texts.get(section, "")
        return [f"# from {section}.cfg", *text.splitlines()] if text.strip() else []


def global_(table: HAProxyTable, state_file: str, structure: str) -> list[str]:
    account = [f"    {name} {value}" for name, value in (("user", table.user), ("group", table.group)) if value]
    return [
        "global",
        *account,
        f"    description wsplatform-{structure}",
        "    log stdout format raw local0 info",
        f"    stats socket {table.stats_socket} mode 660 level admin",
        f"    server-state-file {state_file}",
        # No global maxconn: HAProxy refuses to start when it may not open enough descriptors for it, which `haproxy -c`
        # does not tell. With this bound it takes what it may have, and not the millions that containers often allow.
        f"    fd-hard-limit {2 * table.max_connections + _SPARE_DESCRIPTORS}",
        "    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets",
        f"    ssl-default-bind-ciphers {_CIPHERS}",
        f"    ssl-default-bind-ciphersuites {_SUITES}",
        # No hard-stop-after: it would cut the websockets that an old worker still carries after a reload.
    ]


def defaults(table: HAProxyTable) -> list[str]:
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
        # After a reload, the old worker answers once more on a connection that is kept alive, and says that it is the
        # last time. To close it at once would cost a publish that is just on its way, and cannot be repeated.
        "    option idle-close-on-response",
        "    option http-restrict-req-hdr-names delete",
        "    option redispatch 1",
        "    retries 3",
        # 503: a node that is shutting down, or full, refuses; the others are asked before the client hears of it.
        "    retry-on conn-failure empty-response 503",
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


def frontend(table: HAProxyTable) -> list[str]:
    listeners = [f"    bind {table.bind} proto h1"] if table.bind else []
    if table.certificate and table.tls_bind:
        listeners.append(f"    bind {table.tls_bind} ssl crt {table.certificate} alpn http/1.1")
    private = (*PRIVATE, *(() if table.operators_url else OPERATORS))
    operators = ["    use_backend operators if operators_face"] if table.operators_url else []
    return [
        "frontend clients",
        *listeners,
        f"    maxconn {table.max_connections}",
        *_limits(table),
        # What is refused is looked for in the path as the least careful reader would see it: decoded, in lower case.
        # A path that could be read in two ways (dots, doubled or backward slashes) goes nowhere. Nor does one that
        # cannot be decoded: the variable is not set then, and no pattern would match.
        "    http-request set-var(txn.path) path,url_dec,lower",
        "    acl odd_path var(txn.path) -m reg '//' '(^|/)[.][.]?([/;]|$)' '[\\\\[:cntrl:]]'",
        "    acl unrouted var(txn.path) -m beg " + " ".join(private),
        "    acl decoded var(txn.path) -m found",
        f"    {_answer(404, _NOT_FOUND)} if !decoded or odd_path or unrouted",
        f"    {_answer(404, _NOT_FOUND)} unless {{ path -m beg / }}",
        *_redirect(table),
        *(["    acl operators_face var(txn.path) -m beg " + " ".join(OPERATORS)] if operators else []),
        "    http-request del-header X-Forwarded- -m beg",
        "    http-request del-header X-Real-IP",
        "    http-request del-header Forwarded",
        "    http-request set-header X-Forwarded-For %[src]",
        "    http-request set-header X-Forwarded-Proto http unless { ssl_fc }",
        "    http-request set-header X-Forwarded-Proto https if { ssl_fc }",
        # A request that a node has read is sent to another one only when that can do no harm.
        "    http-request disable-l7-retry unless METH_GET",
        *operators,
        f"    default_backend {BACKEND}",
    ]


def backend() -> list[str]:
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
        # Who refuses (503) is not who the client should come back to.
        "    acl refused status 503",
        f'{cookie}" unless same_node or refused or {{ ssl_fc }}',
        f'{cookie}; Secure" if {{ ssl_fc }} !same_node !refused',
        "    use-server %[var(txn.node)] if { var(txn.node) -m found }",
        f"    default-server {CHECK}",
        # A name that cannot be looked up leaves its server down instead of stopping HAProxy; without "last", the
        # address is not taken from the state file, where it would be that of an earlier run.
        "    default-server init-addr libc,none",
    ]


def server_lines(chosen: Iterable[Server]) -> list[str]:
    return [line for entry in chosen for line in _server(entry)]


def operators(table: HAProxyTable) -> list[str]:
    """The way to the registry, for those who may use it from outside."""
    if not table.operators_url:
        return []
    host, port = locate(table.operators_url)
    return [
        "backend operators",
        "    option httpchk GET /health/live",
        f"    default-server {CHECK} init-addr libc,none",
        f"    server registry {host}:{port}",
    ]


def status(table: HAProxyTable) -> list[str]:
    """HAProxy's own page about itself, without any command on it, and the same for Prometheus where it is built in."""
    if not table.status_bind:
        return []
    return [
        "listen status",
        f"    bind {table.status_bind}",
        "    option dontlog-normal",
        "    .if feature(PROMEX)",
        f"    http-request use-service prometheus-exporter if {{ path {METRICS} }}",
        "    .endif",
        "    stats enable",
        "    stats uri /",
        "    stats refresh 5s",
        "    stats hide-version",
    ]


def _limits(table: HAProxyTable) -> list[str]:
    """What one address may do. Addresses are counted only where there is a limit."""
    stores, rules = [], []
    if table.address_connection_rate:
        stores.append(f"conn_rate({PERIOD}s)")
        most = table.address_connection_rate * PERIOD
        rules.append(f"    tcp-request connection reject if {{ sc0_conn_rate gt {most} }}")
    if table.address_connections:
        stores.append("conn_cur")
        rules.append(f"    {_answer(429, _TOO_MANY)} if {{ sc0_conn_cur gt {table.address_connections} }}")
    if table.address_request_rate:
        stores.append(f"http_req_rate({PERIOD}s)")
        most = table.address_request_rate * PERIOD
        rules.append(f"    {_answer(429, _TOO_MANY)} if {{ sc0_http_req_rate gt {most} }}")
    if not rules:
        return []
    table_line = f"    stick-table type ipv6 size 100k expire {PERIOD}s store {','.join(stores)}"
    # Of IPv6 the network of 64 bits, all of which one host may have (core/tries.py counts like that as well).
    return [table_line, "    tcp-request connection track-sc0 src,ipmask(32,64)", *rules]


def _redirect(table: HAProxyTable) -> list[str]:
    if not table.redirect:
        return []
    port = table.tls_bind.rpartition(":")[2]
    host = "%[req.hdr(host),regsub(:[0-9]+$,)]" + ("" if port == "443" else f":{port}")
    return [
        f"    {_answer(400, _NO_HOST)} unless {{ req.hdr(host) -m found }}",
        f"    http-request redirect location https://{host}%[pathq] code 308 unless {{ ssl_fc }}",
    ]


def _answer(code: int, body: str) -> str:
    return f"http-request return status {code} content-type application/json string '{body}'"


def _server(entry: Server) -> list[str]:
    line = f"    server {entry.name} {entry.address} weight {entry.weight}"
    if not entry.named:
        return [line]
    # Names are looked up when HAProxy reads the file: a new run of the node, perhaps elsewhere, has to change the text.
    return [f"    # {entry.name} is run {entry.incarnation}", line]
