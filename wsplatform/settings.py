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


class HAProxyTable(_Table):
    """The load balancer, kept current by the plugin of that name when `enabled`.

    bind: where clients connect (host:port). certificate: a PEM file with certificate and key; empty: plain HTTP.
    config_file and master_socket: where the configuration is written, and how HAProxy is told to read it again.
    """

    enabled: bool = False
    binary: str = "haproxy"
    bind: str = "127.0.0.1:8080"
    certificate: str = ""
    config_file: str = "/etc/haproxy/haproxy.cfg"
    master_socket: str = "/run/haproxy/master.sock"
    stats_socket: str = "/run/haproxy/admin.sock"
    tunnel_seconds: Positive = 3600.0
    max_connections: Size = 8000


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
