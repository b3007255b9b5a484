"""Settings: frozen typed tables. `settings_load.py` fills them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from wsplatform.model import NODE_ID_PATTERN, ChannelRule

Environment = Literal["development", "test", "production"]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Size = Annotated[int, msgspec.Meta(ge=1)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]

SECRET_KEYS = frozenset({"client.token_hmac_secrets", "cluster.secrets", "registry.admin_key", "registry.database"})
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


class NodeTable(_Table):
    """The listener of a process, and the node that it holds.

    id: unique in the cluster; empty: the host's name and a random ending.
    url: the address (http://host:port) that the load balancer reaches the node at; empty: made from host and port.
    """

    id: Annotated[str, msgspec.Meta(pattern=rf"^({NODE_ID_PATTERN})?\Z")] = ""
    host: str = "127.0.0.1"
    port: Port = 8000
    url: str = ""
    drain_seconds: Annotated[float, msgspec.Meta(ge=0)] = 5.0
    examples: bool = False


class ClientTable(_Table):
    """The client face. Sizes in bytes, times in seconds.

    allowed_origins: values of the Origin header that may connect, `*` standing for any characters; a connection
    without the header (an app, a device) is always admitted; empty: only pages of the host they connect to.
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


class ApiTable(_Table):
    """The backends' face. Sizes in bytes, times in seconds."""

    max_request_bytes: Size = 8_388_608
    max_publication_bytes: Size = 1_048_576
    survey_seconds: Positive = 3.0


class ClusterTable(_Table):
    """The nodes' face.

    secrets: the first signs, all are accepted. host/port: an address of its own for the node face; port 0: the node
    face shares the clients' listener. url: the address (ws://host:port) that other nodes reach; empty: made from host
    and port. outbox_bytes: what may wait for one peer.
    """

    name: str = "wsplatform"
    secrets: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: Port = 0
    url: str = ""
    transport: str = "websocket"
    outbox_bytes: Size = 67_108_864
    max_envelope_bytes: Size = 8_388_608
    ping_seconds: Positive = 1.0
    dead_seconds: Positive = 4.0
    interest_seconds: Positive = 2.0


class RegistryTable(_Table):
    """The registry, and the way to it.

    url: where nodes find it (http://host:port); unused by role "all", which holds its own. database: a peewee URL.
    admin_key: a key with scope admin that needs no row in the database: the first one of a new installation.
    dead_seconds: a node that has not reported for so long leaves the view.
    """

    url: str = "http://127.0.0.1:8000"
    database: str = "sqlite:///wsplatform.db"
    admin_key: str = ""
    auto_migrate: bool = True
    heartbeat_seconds: Positive = 1.0
    dead_seconds: Positive = 5.0
    timeout_seconds: Positive = 3.0
    fallback_rule: ChannelRule | None = None


class LogTable(_Table):
    """level: of loguru; format: `human` lines or one `json` object a line."""

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


class HAProxyTable(_Table):
    """The load balancer, kept current by the plugin of that name when `enabled`.

    binary: its name on PATH, or its path; the configuration is checked with it before it is put in place.
    bind: where clients connect (host:port) without TLS; empty: nowhere. tls_bind: where they connect with TLS, served
    once there is a `certificate`: a PEM file with the certificate, its chain and the key. With both, clients choose.
    config_file: where the configuration is written, readable by HAProxy under the same path; beside it, with
    `.state` added to its name, what HAProxy knows of the servers' health when it is reloaded.
    master_socket, stats_socket: HAProxy's control sockets; whoever can write to them controls HAProxy. The first
    one is how it is told to read the configuration again (`haproxy -W -S master_socket,mode,600 -f config_file`).
    user, group: what a HAProxy that was started by root changes to; empty: it stays what it is.
    tunnel_seconds: a websocket that is silent in both directions for so long is cut: more than client.ping_seconds.
    max_connections: clients at once; more wait until one goes. Fewer where HAProxy may not open 2 descriptors for each.
    log_requests: a line for each request (on HAProxy's standard output, without query strings), not only for errors.
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


class ProxyTable(_Table):
    """trusted: addresses or networks of load balancers whose X-Forwarded-For (its last value) is believed."""

    trusted: tuple[str, ...] = ()


class Settings(_Table):
    """All tables, for one environment."""

    environment: Environment
    node: NodeTable = NodeTable()
    client: ClientTable = ClientTable()
    api: ApiTable = ApiTable()
    cluster: ClusterTable = ClusterTable()
    registry: RegistryTable = RegistryTable()
    log: LogTable = LogTable()
    haproxy: HAProxyTable = HAProxyTable()
    proxy: ProxyTable = ProxyTable()
