"""Settings: frozen typed tables. `settings_load.py` fills them.

The docstring of a table says what it is for and then, for each key, `key: what it means`. scripts/settings_table.py
makes the tables of docs/configuration.md from that.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from wsplatform.model import NODE_ID_PATTERN, ChannelRule

Environment = Literal["development", "test", "production"]
YEAR = 31_536_000
"""Seconds: no time may be longer. With infinity there is no reckoning."""
Positive = Annotated[float, msgspec.Meta(gt=0, le=YEAR)]
Size = Annotated[int, msgspec.Meta(ge=1)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]

SECRET_KEYS = frozenset(
    {
        "client.token_hmac_secrets",
        "cluster.secrets",
        "nats.credentials",
        "nats.password",
        "nats.token",
        "registry.admin_key",
        "registry.database",
    }
)
"""Never printed. The database URL is among them because it may hold a password."""

DEVELOPMENT_SECRETS = frozenset(
    {
        "development-only-token-secret-0000000000",
        "development-only-cluster-secret-00000000",
        "development-only-admin-key-0000000000000",
    }
)
"""What config/development.toml and config/test.toml hold; production refuses to start with any of them."""


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class NodeTable(_Table, frozen=True):
    """The listener of a process, and the node that it holds.

    id: The node's name, which no other node of the cluster may have. Empty: the host's name and a random ending.
    host: The address to listen on, for clients, backends and operators; `0.0.0.0` for all of IPv4, `::` for IPv6 too.
    port: The port to listen on; 0: a free one.
    url: Where the load balancer reaches this node, `http://host:port`. Empty: made from `host` and `port`; of a host
        that stands for all addresses, the one that the machine's own name stands for.
    workers: How many node processes to run on this host, all on the same port: one for each core that they may have.
        Their ids are `id` with -1, -2, … at its end. Of no effect with the role `registry`.
    drain_seconds: Over how long clients are asked to go elsewhere when the process ends, evenly. 0: all at once.
    examples: Serve the example page at `/examples/chat/`.
    """

    id: Annotated[
        str,
        msgspec.Meta(
            pattern=rf"^({NODE_ID_PATTERN})?\Z",
            description="up to 64 letters, digits and _ . -, the first a letter or digit, or nothing",
        ),
    ] = ""
    host: str = "127.0.0.1"
    port: Port = 8000
    url: str = ""
    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    drain_seconds: Annotated[float, msgspec.Meta(ge=0, le=YEAR)] = 5.0
    examples: bool = False


class ClientTable(_Table, frozen=True):
    """The clients' face, on every node.

    allow_anonymous: Let clients in that have no token. They have no user id.
    token_hmac_secrets: Secrets of at least 32 bytes that tokens may be signed with (HS256). Any of them will do, so
        that a secret can be exchanged; `wsplatform token` signs with the first.
    token_public_keys: PEM texts of the public keys of those who may sign tokens: RSA of 2048 bits or more (RS256), or
        EC on P-256 (ES256).
    token_issuer: Tokens must have this in `iss`. Empty: it is not looked at.
    token_audience: Tokens must have this in `aud`. Empty: it is not looked at.
    allowed_origins: Pages that may connect: values of the header Origin, such as `https://example.org`; `*` stands for
        any characters. Empty: pages of the host that they connect to. What is no page (an app, a device) sends no
        Origin, and may always connect.
    max_message_bytes: The largest message of a client; one that is larger ends its connection (1009).
    max_outbox_bytes: How much may wait for a client that does not read; then its connection is ended (3008).
    max_channels: Channels that one client may be subscribed to.
    max_connections: Connections of clients to one node; one more is answered with 503. 0: as many as its open files
        allow.
    ping_seconds: How often clients are pinged.
    pong_seconds: How long a client may take to answer; then its connection is ended (3012).
    connect_seconds: How long a connection may take to say who it is; then it is ended (3502).
    head_bytes: The largest head of a connection's first request, on every face (431).
    head_seconds: How long that may take to arrive (408); a connection that says nothing is closed as soon.
    close_seconds: How long a client may take to answer a close; then its connection is cut.
    deflate: Compress messages from 256 bytes on for clients that offer permessage-deflate. Costs CPU.
    """

    allow_anonymous: bool = False
    token_hmac_secrets: tuple[str, ...] = ()
    token_public_keys: tuple[str, ...] = ()
    token_issuer: str = ""
    token_audience: str = ""
    allowed_origins: tuple[str, ...] = ()
    max_message_bytes: Size = 65_536
    max_outbox_bytes: Size = 1_048_576
    max_channels: Size = 128
    max_connections: Annotated[int, msgspec.Meta(ge=0)] = 0
    ping_seconds: Positive = 25.0
    pong_seconds: Positive = 8.0
    connect_seconds: Positive = 10.0
    head_bytes: Size = 16_384
    head_seconds: Positive = 10.0
    close_seconds: Positive = 5.0
    deflate: bool = False


class ApiTable(_Table, frozen=True):
    """The backends' face, on every node: the [server API](server-api.md).

    max_request_bytes: The largest request, on every face (413).
    max_publication_bytes: The largest publication: data and tags. A channel's rule may allow less.
    survey_seconds: How long the answers of other nodes are waited for.
    """

    max_request_bytes: Size = 8_388_608
    max_publication_bytes: Size = 1_048_576
    survey_seconds: Positive = 3.0


class ClusterTable(_Table, frozen=True):
    """The nodes' face: how the processes of a cluster talk to each other.

    name: Nodes and registries of another name are refused: a guard against settings that were mixed up.
    secrets: What proves that a process belongs to the cluster: secrets of at least 32 bytes, the same everywhere. The
        first is used, all are accepted, so that a secret can be exchanged.
    host: The address to listen on, if `port` is not 0.
    port: A port for this face alone. 0: it shares the one of `[node]`. Of several workers each has its own: this one
        and those that follow, or free ones.
    url: Where other nodes reach this one, `ws://host:port`. Empty: made from `host` and `port`, or those of `[node]`.
        It is the address of the first worker; those that follow have the ports that follow. With `tls_certificate`:
        `wss://…`, and a name that the certificate has.
    tls_certificate: A PEM file with a certificate and its chain, for TLS on this face; needs `port`. Nodes show it to
        those that they connect to as well. A file that changes is read again, for new connections.
    tls_key: A PEM file with its key, without a password. Empty: it is in the file of `tls_certificate`.
    tls_ca: A PEM file with the authorities that are trusted, in place of the system's. With it, whoever connects to
        this face must show a certificate of theirs.
    plaintext: Production only: let this face be reached without TLS from other hosts.
    transport: What carries messages between nodes: the name of an installed [transport](transports.md). `websocket`,
        `http` and `nats` are; `memory` is for tests, within one process.
    fallback: What carries messages to a node that `transport` cannot reach, as long as it cannot: the name of another
        one. Empty, or that of `transport`: nothing does. The same on all nodes.
    outbox_bytes: How much may wait in a connection with one other node.
    max_envelope_bytes: The largest message between nodes: a publication, or the answer of one node to a question. At
        most `outbox_bytes` and `replay_bytes`, and 128 KiB more than `api.max_publication_bytes` and
        `client.max_message_bytes`.
    ping_seconds: How often a node lets the others hear of it.
    dead_seconds: After how long a silence a connection between two nodes is given up; more than `ping_seconds`.
    interest_seconds: How long a subscribe waits at most for the other nodes to know of it.
    replay_seconds: For how long publications are kept for a node that cannot be reached: what was not acknowledged when
        the connection broke, and what follows. Older ones are dropped, and counted.
    replay_bytes: How much memory they may take for each other node; with more, the oldest are dropped, and counted.
    canary_seconds: How often a node times a small publication to each other node and back, as `wsplatform links` shows
        it. 0: never.
    """

    name: str = "wsplatform"
    secrets: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: Port = 0
    url: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    tls_ca: str = ""
    plaintext: bool = False
    transport: str = "websocket"
    fallback: str = "http"
    outbox_bytes: Size = 67_108_864
    max_envelope_bytes: Size = 8_388_608
    ping_seconds: Positive = 1.0
    dead_seconds: Positive = 3.0
    interest_seconds: Positive = 2.0
    replay_seconds: Positive = 30.0
    replay_bytes: Size = 67_108_864
    canary_seconds: Annotated[float, msgspec.Meta(ge=0, le=YEAR)] = 5.0

    @property
    def carriers(self) -> tuple[str, ...]:
        """The names of the transports in use: `transport`, and `fallback` if there is one."""
        return tuple(dict.fromkeys((self.transport, self.fallback or self.transport)))


class NatsTable(_Table, frozen=True):
    """The way to a NATS server, if `cluster.transport` is `nats`. See [transports](transports.md#nats).

    urls: Servers of one NATS cluster, `nats://host:port` or `tls://host:port`; any of them is connected to.
    user: A user that the server knows, with `password`.
    password: The password of `user`.
    token: A token that the server knows, instead of a user.
    credentials: What a `.creds` file holds, instead of both; `WSP_NATS__CREDENTIALS_FILE` names the file.
    ca_file: A PEM file with the authority that has signed the server's certificate. Empty: those of the system.
    """

    urls: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, description="a list of URLs")] = (
        "nats://127.0.0.1:4222",
    )
    user: str = ""
    password: str = ""
    token: str = ""
    credentials: str = ""
    ca_file: str = ""


class RegistryTable(_Table, frozen=True):
    """The registry, and the way to it.

    url: Where nodes reach its node face, `http://host:port`. Role `all` has its own.
    port: Of the registry's own process, on `node.host`, which the role `all` has when `node.workers` is more than 1;
        0: a free one. Other registries listen on `node.port`.
    database: `sqlite:///file.db` (below the working directory), `sqlite:////folder/file.db`, `sqlite:///:memory:`, or
        `postgresql://user:password@host:port/name`, which needs `pip install 'wsplatform[postgresql]'`.
    admin_key: A key for the admin API that needs no database: the first one of a new installation. At least 32 bytes.
    auto_migrate: Bring the database up to date at the start. Otherwise `wsplatform migrate` has to be run first.
    heartbeat_seconds: How often nodes report; told to them by the registry.
    dead_seconds: A node that has not reported for so long is taken out of the cluster. At least 3, and half as much
        again as `heartbeat_seconds`.
    timeout_seconds: How long a node waits for an answer of the registry.
    fallback_rule: A [channel rule](running.md#channel-rules) that holds until one is set for the same pattern; a table.
    """

    url: str = "http://127.0.0.1:8000"
    port: Port = 0
    database: str = "sqlite:///wsplatform.db"
    admin_key: str = ""
    auto_migrate: bool = True
    heartbeat_seconds: Positive = 1.0
    dead_seconds: Positive = 5.0
    timeout_seconds: Positive = 3.0
    fallback_rule: ChannelRule | None = None


class MetricsTable(_Table, frozen=True):
    """What nodes count and time, and for how long the registry keeps it. See [metrics](metrics.md).

    enabled: Time deliveries, find the busiest channels, and report what is counted to the registry. Without it, the
        registry hears of each node's present state only, and `/metrics` has what can be counted at no cost.
    open: Let anybody read `/metrics`. Otherwise a key with the scope `metrics` or `admin` is needed.
    keep_samples_hours: How long values of 10 s are kept.
    keep_minutes_days: How long values of a minute are kept.
    keep_hours_days: How long values of an hour are kept.
    """

    enabled: bool = True
    open: bool = False
    keep_samples_hours: Annotated[int, msgspec.Meta(ge=1, le=168)] = 6
    keep_minutes_days: Annotated[int, msgspec.Meta(ge=1, le=100)] = 7
    keep_hours_days: Annotated[int, msgspec.Meta(ge=1, le=4000)] = 400


class LogTable(_Table, frozen=True):
    """What is logged, to standard error.

    level: The least important lines that are written.
    format: `human`: lines for people; `json`: an object a line.
    """

    level: Literal["TRACE", "DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["human", "json"] = "human"


# These values are written into HAProxy's configuration, so each admits no blank, quote, backslash, # or line end.
_Listener = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^((\*|[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])?:[0-9]{1,5})?\Z",
        description="host:port with a port from 1 to 65535 (*:port for all addresses), or nothing",
    ),
]
_File = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^/[A-Za-z0-9_./+=@-]{1,1023}\Z",
        description="an absolute path of letters, digits and _ . / + = @ -",
    ),
]
_OptionalFile = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(/[A-Za-z0-9_./+=@-]{1,1023})?\Z",
        description="an absolute path of letters, digits and _ . / + = @ -, or nothing",
    ),
]
_Socket = Annotated[
    str,
    msgspec.Meta(
        # HAProxy binds <path>.<pid>.tmp and renames it; the kernel takes 107 bytes.
        pattern=r"^/[A-Za-z0-9_./+=@-]{1,89}\Z",
        description="an absolute path of at most 90 letters, digits and _ . / + = @ -",
    ),
]
_Account = Annotated[
    str,
    msgspec.Meta(pattern=r"^([A-Za-z_][A-Za-z0-9_-]{0,31})?\Z", description="the name of an account, or nothing"),
]


_Limit = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]


class HAProxyTable(_Table, frozen=True):
    """The load balancer, on the registry's host. See [HAProxy](#haproxy).

    enabled: Keep HAProxy's configuration in step with the cluster.
    binary: HAProxy's name on PATH, or its path. The configuration is checked with it before it is put in place.
    bind: Where clients connect without TLS, `host:port`. Empty: nowhere.
    tls_bind: Where clients connect with TLS, once there is a `certificate`.
    certificate: A PEM file with the certificate, its chain and its key.
    config_file: Where the configuration is written, readable by HAProxy under the same path. Beside it, with `.state`
        added to its name: what HAProxy knows of the nodes' health when it is reloaded.
    master_socket: The socket through which HAProxy is told to read its configuration again. Whoever can write to it
        controls HAProxy.
    stats_socket: The socket through which HAProxy tells of its servers. Whoever can write to it controls HAProxy.
    user: The account that a HAProxy started by root changes to. Empty: none.
    group: The same for its group.
    tunnel_seconds: A websocket that is silent in both directions for so long is cut; more than `client.ping_seconds`.
    max_connections: Clients at once; more wait until one goes. Fewer where HAProxy may not open two descriptors for
        each.
    log_requests: Have HAProxy log every request, without its query string, and not only what goes wrong.
    redirect: Send those who come without TLS to `tls_bind`; websockets do not follow, and have to use `wss://`.
    status_bind: Where HAProxy serves its own status page, `host:port`, to whoever can connect. Empty: nowhere.
    operators_url: Where HAProxy reaches the registry, `http://host:port`, to pass `/admin` and `/dashboard` on to it.
        Empty: they are not reached through HAProxy.
    address_connections: Connections that one client address may have; more requests than that are answered with 429.
        0: no limit.
    address_connection_rate: New connections a second of one address, over 10 seconds; more are cut. 0: no limit.
    address_request_rate: Requests a second of one address, over 10 seconds; more are answered with 429. 0: no limit.
    snippets: A folder with lines of your own: `global.cfg`, `defaults.cfg`, `frontend.cfg` and `backend.cfg` go to the
        ends of those sections, `sections.cfg` to the end of the file. Empty: none.
    check_seconds: How often it is looked whether HAProxy still has what it should have.
    """

    enabled: bool = False
    binary: str = "haproxy"
    bind: _Listener = "127.0.0.1:8080"
    tls_bind: _Listener = "127.0.0.1:8443"
    certificate: _OptionalFile = ""
    config_file: _File = "/etc/haproxy/haproxy.cfg"
    master_socket: _Socket = "/run/haproxy/master.sock"
    stats_socket: _Socket = "/run/haproxy/admin.sock"
    user: _Account = ""
    group: _Account = ""
    tunnel_seconds: Annotated[float, msgspec.Meta(ge=1, le=2_000_000)] = 3600.0
    max_connections: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 8000
    log_requests: bool = True
    redirect: bool = False
    status_bind: _Listener = "127.0.0.1:8404"
    operators_url: str = ""
    address_connections: _Limit = 0
    address_connection_rate: _Limit = 0
    address_request_rate: _Limit = 0
    snippets: _OptionalFile = ""
    check_seconds: Annotated[float, msgspec.Meta(ge=0.1, le=3600)] = 2.0


class ProxyTable(_Table, frozen=True):
    """Proxies in front of the nodes.

    trusted: Addresses or networks, such as `10.0.0.0/8`, that are believed. The last value of X-Forwarded-For is the
        client's address in logs; that of X-Forwarded-Proto says whether an operator's browser speaks https.
    """

    trusted: tuple[str, ...] = ()


class Settings(_Table, frozen=True):
    """All tables, for one environment."""

    environment: Environment
    node: NodeTable = NodeTable()
    client: ClientTable = ClientTable()
    api: ApiTable = ApiTable()
    cluster: ClusterTable = ClusterTable()
    nats: NatsTable = NatsTable()
    registry: RegistryTable = RegistryTable()
    metrics: MetricsTable = MetricsTable()
    log: LogTable = LogTable()
    haproxy: HAProxyTable = HAProxyTable()
    proxy: ProxyTable = ProxyTable()
