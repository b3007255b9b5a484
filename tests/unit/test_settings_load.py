import json
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.cli.config import toml
from wsplatform.errors import SettingsError
from wsplatform.model import ChannelRule
from wsplatform.resources import folder
from wsplatform.settings import DEVELOPMENT_SECRETS, SECRET_KEYS, Settings
from wsplatform.settings_load import MASK, check_file, check_production, load, masked

SECRET = "a-secret-of-thirty-two-bytes-or-more"
OTHER = "b-secret-of-thirty-two-bytes-or-more"
CONFIG = folder("config")
GIVEN = {
    "WSP_CLUSTER__SECRETS": SECRET,
    "WSP_REGISTRY__ADMIN_KEY": SECRET,
    "WSP_CLIENT__TOKEN_HMAC_SECRETS": SECRET,
}
NEAR = {"WSP_NODE__HOST": "127.0.0.1"}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("environment", ["development", "test", "production"])
def test_the_files_that_come_with_the_program_can_be_used(environment: str) -> None:
    settings = load(environment, CONFIG)
    assert settings.environment == environment
    check_file(CONFIG / f"{environment}.toml")


def test_development_admits_everything_and_production_nothing() -> None:
    development, production = load("development", CONFIG), load("production", CONFIG)
    assert development.registry.fallback_rule == ChannelRule(pattern="*", subscribe="anyone", publish="anyone")
    assert development.client.allow_anonymous
    assert development.node.host == "127.0.0.1"
    assert production.registry.fallback_rule is None
    assert not production.client.allow_anonymous
    assert production.client.allowed_origins == ()
    assert production.log.format == "json"


def test_later_wins_file_then_environment_then_flags(tmp_path: Path) -> None:
    file = written(tmp_path, "[node]\nport = 1\ndrain_seconds = 1\nhost = 'a'\nid = 'file'\n")
    environ = {"WSP_NODE__PORT": "2", "WSP_NODE__DRAIN_SECONDS": "2", "WSP_NODE__HOST": "b"}
    flags = {"node.port": "3", "node.drain_seconds": "3"}
    node = load("development", CONFIG, file=file, environ=environ, flags=flags).node
    assert (node.port, node.drain_seconds, node.host, node.id, node.examples) == (3, 3.0, "b", "file", True)


@pytest.mark.parametrize(
    ("variable", "text", "section", "name", "value"),
    [
        ("WSP_CLIENT__ALLOW_ANONYMOUS", "false", "client", "allow_anonymous", False),
        ("WSP_CLIENT__ALLOW_ANONYMOUS", "1", "client", "allow_anonymous", True),
        ("WSP_CLIENT__PING_SECONDS", "12.5", "client", "ping_seconds", 12.5),
        ("WSP_CLIENT__PING_SECONDS", "12", "client", "ping_seconds", 12.0),
        ("WSP_NODE__HOST", "::1", "node", "host", "::1"),
        ("WSP_CLUSTER__SECRETS", f"{SECRET},{OTHER}", "cluster", "secrets", (SECRET, OTHER)),
        ("WSP_CLUSTER__SECRETS", f"{SECRET}\n{OTHER}\n", "cluster", "secrets", (SECRET, OTHER)),
        ("WSP_CLUSTER__SECRETS", json.dumps([SECRET, OTHER]), "cluster", "secrets", (SECRET, OTHER)),
        ("WSP_CLIENT__ALLOWED_ORIGINS", "", "client", "allowed_origins", ()),
        (
            "WSP_CLIENT__ALLOWED_ORIGINS",
            "https://*.example, *",
            "client",
            "allowed_origins",
            ("https://*.example", "*"),
        ),
        ("WSP_LOG__LEVEL", "DEBUG", "log", "level", "DEBUG"),
        (
            "WSP_REGISTRY__FALLBACK_RULE",
            '{"pattern": "a:*", "subscribe": "users"}',
            "registry",
            "fallback_rule",
            ChannelRule(pattern="a:*"),
        ),
    ],
)
def test_values_from_the_environment(variable: str, text: str, section: str, name: str, value: object) -> None:
    settings = load("development", CONFIG, environ={variable: text})
    assert getattr(getattr(settings, section), name) == value


def test_public_keys_are_pem_blocks_one_after_the_other() -> None:
    block = "-----BEGIN PUBLIC KEY-----\nAAAA\nBBBB\n-----END PUBLIC KEY-----"
    environ = {"WSP_CLIENT__TOKEN_PUBLIC_KEYS": f"{block}\n{block}\n"}
    assert load("development", CONFIG, environ=environ).client.token_public_keys == (block, block)


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n{OTHER}\n")
    settings = load("development", CONFIG, environ={"WSP_CLUSTER__SECRETS_FILE": str(tmp_path / "secret")})
    assert settings.cluster.secrets == (SECRET, OTHER)


def test_a_key_that_ends_in_file_is_not_taken_for_the_name_of_one() -> None:
    settings = load("development", CONFIG, environ={"WSP_HAPROXY__CONFIG_FILE": "/tmp/haproxy.cfg"})
    assert settings.haproxy.config_file == "/tmp/haproxy.cfg"


def test_other_variables_of_the_environment_are_left_alone() -> None:
    environ = {"WSP_SERVER": "x", "WSP_KEY": "y", "PATH": "/bin", "WSPX__A": "1"}
    assert load("test", CONFIG, environ=environ) == load("test", CONFIG)


REFUSED = [
    ("[nodes]\nport = 1", "nodes.port", "1", "a section that exists: node, client, api"),
    ("[node]\nprot = 1", "node.prot", "1", "a key of [node]: drain_seconds, examples, host, id, port, url"),
    ("port = 1", "port", "1", "a table, one of node, client"),
    ("environment = 'test'", "environment", "'test'", "a table"),
    ("[node]\nport = 'x'", "node.port", "'x'", "int"),
    ("[node]\nport = 65536", "node.port", "65536", "int <= 65535"),
    ("[node]\nport = -1", "node.port", "-1", "int >= 0"),
    ("[node]\nport = 1.5", "node.port", "1.5", "int"),
    ("[node]\nport = true", "node.port", "True", "int"),
    ("[node]\nid = 'a b'", "node.id", "'a b'", ""),
    ("[node]\nid = 'a\\n'", "node.id", "", ""),
    ("[node]\nexamples = 'maybe'", "node.examples", "'maybe'", "bool"),
    ("[node]\nurl = 'example'", "node.url", "'example'", "http://host:port or https://host:port"),
    ("[node]\nurl = 'http://host:99999'", "node.url", "'http://host:99999'", "http://host:port"),
    ("[client]\nping_seconds = 0", "client.ping_seconds", "0", "> 0"),
    ("[client]\nping_seconds = nan", "client.ping_seconds", "nan", "> 0"),
    ("[client]\nping_seconds = inf", "client.ping_seconds", "inf", "<= 31536000"),
    ("[node]\ndrain_seconds = inf", "node.drain_seconds", "inf", "<= 31536000"),
    ("[registry]\nurl = 'http://a..b:1'", "registry.url", "'http://a..b:1'", "http://host:port"),
    ("[cluster]\nurl = 'ws://" + "a" * 64 + ":1'", "cluster.url", "aaaa", "ws://host:port"),
    ("[client]\nallowed_origins = [1]", "client.allowed_origins", "[1]", "str"),
    ("[client]\nmax_message_bytes = 0", "client.max_message_bytes", "0", ">= 1"),
    ("[cluster]\nurl = 'http://host:1'", "cluster.url", "'http://host:1'", "ws://host:port or wss://host:port"),
    ("[cluster]\ndead_seconds = 1", "cluster.dead_seconds", "1.0", "more than cluster.ping_seconds"),
    ("[registry]\ndead_seconds = 0.5", "registry.dead_seconds", "0.5", "at least 3"),
    ("[registry]\nheartbeat_seconds = 10\ndead_seconds = 12", "registry.dead_seconds", "12.0", "at least 15"),
    ("[api]\nmax_publication_bytes = 8388608", "api.max_publication_bytes", "8388608", "cluster.max_envelope_bytes"),
    ("[client]\nmax_message_bytes = 8388608", "client.max_message_bytes", "8388608", "cluster.max_envelope_bytes"),
    ("[cluster]\nmax_envelope_bytes = 100", "cluster.max_envelope_bytes", "100", "more than 131072"),
    ("[cluster]\noutbox_bytes = 100", "cluster.max_envelope_bytes", "8388608", "cluster.outbox_bytes"),
    ("[cluster]\nreplay_bytes = 100", "cluster.max_envelope_bytes", "8388608", "cluster.replay_bytes"),
    ("[registry]\nurl = 'ftp://host:1'", "registry.url", "'ftp://host:1'", "http://host:port"),
    ("[registry.fallback_rule]\npattern = '*'\nhistory = 5", "registry.fallback_rule", "", "history"),
    ("[registry.fallback_rule]\npattern = '*'\nsubscribe = 'all'", "registry.fallback_rule", "", "'all'"),
    ("[log]\nlevel = 'LOUD'", "log.level", "'LOUD'", ""),
    ("[log", "--config", "settings.toml", "TOML"),
]


@pytest.mark.parametrize(("text", "key", "value", "expected"), REFUSED)
def test_what_cannot_be_used_is_refused_by_key_value_and_expectation(
    tmp_path: Path, text: str, key: str, value: str, expected: str
) -> None:
    path = written(tmp_path, text)
    for attempt in (lambda: check_file(path), lambda: load("development", CONFIG, file=path)):
        with pytest.raises(SettingsError) as caught:
            attempt()
        error = caught.value
        assert error.code == "invalid_setting"
        assert error.key == key
        assert value in error.value
        assert expected in error.expected
        assert error.expected
        assert error.key in error.message
        assert error.expected in error.message
        assert "\n" not in error.message


@pytest.mark.parametrize(
    ("environ", "key"),
    [
        ({"WSP_NODE__PROT": "1"}, "node.prot"),
        ({"WSP_NODES__PORT": "1"}, "nodes.port"),
        ({"WSP_NODE__PORT": "http"}, "node.port"),
        ({"WSP_NODE__PORT": ""}, "node.port"),
        ({"WSP_CLUSTER__SECRETS_FILE": "/nonexistent"}, "WSP_CLUSTER__SECRETS_FILE"),
        ({"WSP_CLUSTER__SECRETS_FILE": "/"}, "WSP_CLUSTER__SECRETS_FILE"),
        ({"WSP_REGISTRY__FALLBACK_RULE": "{"}, "registry.fallback_rule"),
    ],
)
def test_the_environment_is_checked_as_strictly(environ: dict[str, str], key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load("development", CONFIG, environ=environ)
    assert caught.value.key == key


@pytest.mark.parametrize(
    "environ",
    [
        {"WSP_CLUSTER__SECRET": SECRET},
        {"WSP_CLUSTER__SHARED": SECRET},
        {"WSP_CLUSTER__NATS_URL": f"nats://me:{SECRET}@host"},
        {"WSP_CLUSTERS__SHARED": f'["{SECRET}"]'},
        {"WSP_CLUSTER__SECRETS_FILE": SECRET},
        {"WSP_CLUSTER__SECRETS_FILE": SECRET, "WSP_CLUSTER__SECRETS": SECRET},
    ],
)
def test_a_secret_under_a_wrong_name_does_not_show(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load("development", CONFIG, environ=environ)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("text", ["passphrase = '{}'", "[cluster]\nshared = '{}'", "[clusters]\nshared = ['{}']"])
def test_nor_in_a_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load("development", CONFIG, file=written(tmp_path, text.format(SECRET)))
    assert SECRET not in str(caught.value)


def test_a_value_and_a_file_for_one_key_is_one_too_many(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(OTHER)
    environ = {"WSP_CLUSTER__SECRETS": SECRET, "WSP_CLUSTER__SECRETS_FILE": str(tmp_path / "secret")}
    for order in (environ, dict(reversed(environ.items()))):
        with pytest.raises(SettingsError) as caught:
            load("development", CONFIG, environ=order)
        assert caught.value.key == "WSP_CLUSTER__SECRETS_FILE"


def test_flags_and_the_environments_name_are_checked() -> None:
    with pytest.raises(SettingsError, match=r"node\.prot"):
        load("development", CONFIG, flags={"node.prot": "1"})
    with pytest.raises(SettingsError, match="one of development, test, production"):
        load("staging", CONFIG)
    with pytest.raises(SettingsError, match="one of development"):
        load("../test", CONFIG)


@pytest.mark.parametrize("deep", ["[" * 100_000, "a = " + "[" * 100_000, "a = " + "{a=" * 100_000])
def test_depth_is_refused_like_anything_else(tmp_path: Path, deep: str) -> None:
    with pytest.raises(SettingsError, match="TOML"):
        check_file(written(tmp_path, deep))
    with pytest.raises(SettingsError):
        load("development", CONFIG, environ={"WSP_REGISTRY__FALLBACK_RULE": deep.removeprefix("a = ")})


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="a readable file"):
        check_file(tmp_path / "missing.toml")
    (tmp_path / "latin.toml").write_bytes(b"[node]\nid = '\xff'")
    with pytest.raises(SettingsError, match="TOML"):
        check_file(tmp_path / "latin.toml")


@pytest.mark.parametrize(
    ("environ", "key"),
    [
        ({"WSP_CLUSTER__SECRETS": "hunter2"}, "cluster.secrets"),
        ({"WSP_CLUSTER__SECRETS": f"{SECRET},hunter2"}, "cluster.secrets"),
        ({"WSP_CLIENT__TOKEN_HMAC_SECRETS": "hunter2"}, "client.token_hmac_secrets"),
        ({"WSP_REGISTRY__ADMIN_KEY": "hunter2"}, "registry.admin_key"),
        ({"WSP_REGISTRY__URL": "http://user:hunter2@host:1"}, "registry.url"),
        ({"WSP_NATS__URLS": "nats://user:hunter2@host:1"}, "nats.urls"),
        ({"WSP_NATS__PASSWORD": "hunter2"}, "nats.password"),
        ({"WSP_NATS__USER": "u", "WSP_NATS__PASSWORD": "x", "WSP_NATS__TOKEN": "hunter2"}, "nats.token"),
        ({"WSP_NATS__CREDENTIALS": "hunter2"}, "nats.credentials"),
        ({"WSP_CLUSTER__SECRET": "hunter2"}, "cluster.secret"),
        ({"WSP_REGISTRY__PASSWORD": "hunter2"}, "registry.password"),
        ({"WSP_TOKEN__VALUE": "hunter2"}, "token.value"),
    ],
)
def test_an_error_never_shows_a_secret(environ: dict[str, str], key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load("development", CONFIG, environ=environ)
    assert caught.value.key == key
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("urls", ["http://host:4222", "nats://", "[]", "nats://a:1,b:2"])
def test_nats_is_reached_by_urls_of_its_own(urls: str) -> None:
    with pytest.raises(SettingsError, match=r"nats\.urls"):
        load("test", CONFIG, environ={"WSP_NATS__URLS": urls})
    assert load("test", CONFIG, environ={"WSP_NATS__URLS": "nats://a:1, tls://b"}).nats.urls == (
        "nats://a:1",
        "tls://b",
    )


def test_nats_credentials_are_what_their_file_holds(tmp_path: Path) -> None:
    text = "-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\ny\n---"
    (tmp_path / "wsplatform.creds").write_text(text)
    environ = {"WSP_NATS__CREDENTIALS_FILE": str(tmp_path / "wsplatform.creds")}
    assert load("test", CONFIG, environ=environ).nats.credentials == text


@pytest.mark.parametrize(
    "text", ["[cluster]\nsecrets = 'hunter2'", "[cluster]\nsecrets = [['hunter2']]", "secret = 'hunter2'"]
)
def test_a_secret_of_the_wrong_type_is_not_shown_either(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_file(written(tmp_path, text))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("secret", sorted(DEVELOPMENT_SECRETS))
def test_production_refuses_each_public_secret(secret: str) -> None:
    for variable in GIVEN:
        settings = load("production", CONFIG, environ={**GIVEN, variable: secret})
        with pytest.raises(SettingsError, match="a secret of your own") as caught:
            check_production(settings, node=True, registry=True)
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("missing", "node", "registry"),
    [
        ("WSP_CLUSTER__SECRETS", True, True),
        ("WSP_CLUSTER__SECRETS", True, False),
        ("WSP_CLUSTER__SECRETS", False, True),
        ("WSP_REGISTRY__ADMIN_KEY", False, True),
        ("WSP_CLIENT__TOKEN_HMAC_SECRETS", True, False),
    ],
)
def test_production_names_what_is_missing_for_the_role(missing: str, node: bool, registry: bool) -> None:
    given = {**GIVEN, **NEAR}
    settings = load("production", CONFIG, environ={key: value for key, value in given.items() if key != missing})
    with pytest.raises(SettingsError) as caught:
        check_production(settings, node=node, registry=registry)
    assert caught.value.key == missing.removeprefix("WSP_").lower().replace("__", ".")
    check_production(load("production", CONFIG, environ=given), node=node, registry=registry)


def test_a_role_needs_only_its_own_secrets() -> None:
    for_node = {key: GIVEN[key] for key in ("WSP_CLUSTER__SECRETS", "WSP_CLIENT__TOKEN_HMAC_SECRETS")}
    for_registry = {key: GIVEN[key] for key in ("WSP_CLUSTER__SECRETS", "WSP_REGISTRY__ADMIN_KEY")}
    check_production(load("production", CONFIG, environ={**for_node, **NEAR}), node=True, registry=False)
    check_production(load("production", CONFIG, environ={**for_registry, **NEAR}), node=False, registry=True)


TLS = {"WSP_CLUSTER__PORT": "7000", "WSP_CLUSTER__TLS_CERTIFICATE": "n.pem"}
FAR = {"WSP_CLUSTER__PORT": "7000", "WSP_CLUSTER__HOST": "10.0.0.1"}


@pytest.mark.parametrize(
    ("given", "node", "registry", "key"),
    [
        ({}, True, True, "node.host"),
        ({}, True, False, "node.host"),
        ({}, False, True, "node.host"),
        ({"WSP_NODE__HOST": "n1.example.org"}, True, True, "node.host"),
        (FAR, True, True, "cluster.host"),
        ({"WSP_CLUSTER__PORT": "7000"}, True, False, ""),  # cluster.host is 127.0.0.1
        ({"WSP_NODE__HOST": "localhost"}, True, True, ""),
        ({"WSP_NODE__HOST": "::1"}, True, True, ""),
        ({**FAR, **TLS}, True, True, ""),
        ({**FAR, **TLS, "WSP_REGISTRY__URL": "http://10.0.0.2:7000"}, True, False, "registry.url"),
        ({**FAR, **TLS, "WSP_REGISTRY__URL": "http://10.0.0.2:7000"}, True, True, ""),  # it has its own
        ({**FAR, **TLS, "WSP_REGISTRY__URL": "https://10.0.0.2:7000"}, True, False, ""),
        ({**FAR, **TLS, "WSP_NODE__WORKERS": "2"}, True, True, "node.host"),
        ({**FAR, **TLS, "WSP_NODE__WORKERS": "2"}, True, False, ""),
    ],
)
def test_production_refuses_plaintext_between_hosts_unless_told_so(
    given: dict[str, str], node: bool, registry: bool, key: str
) -> None:
    environ = {**GIVEN, **given}
    settings = load("production", CONFIG, environ=environ)
    refused = refusal(lambda: check_production(settings, node=node, registry=registry))
    assert refused.key == key if refused else not key
    assert refused is None or "cluster.plaintext = true" in str(refused)
    told = {**environ, "WSP_CLUSTER__PLAINTEXT": "true"}
    check_production(load("production", CONFIG, environ=told), node=node, registry=registry)


@pytest.mark.parametrize(
    ("environ", "key"),
    [
        ({"WSP_CLUSTER__TLS_CERTIFICATE": "n.pem"}, "cluster.tls_certificate"),
        ({"WSP_CLUSTER__TLS_KEY": "n.key"}, "cluster.tls_key"),
        ({**TLS, "WSP_CLUSTER__URL": "ws://n1:7000"}, "cluster.url"),
        ({**TLS, "WSP_CLUSTER__URL": "wss://n1:7000"}, ""),
    ],
)
def test_tls_settings_that_do_not_go_together(environ: dict[str, str], key: str) -> None:
    refused = refusal(lambda: load("test", CONFIG, environ=environ))
    assert refused.key == key if refused else not key


def refusal(call: Callable[[], object]) -> SettingsError | None:
    try:
        call()
    except SettingsError as error:
        return error
    return None


def test_development_and_test_start_with_nothing_set() -> None:
    for environment in ("development", "test"):
        check_production(load(environment, CONFIG), node=True, registry=True)


def test_masked_shows_every_setting_and_no_secret() -> None:
    environ = {**GIVEN, "WSP_REGISTRY__DATABASE": "postgresql://user:hunter2@db/wsplatform"}
    settings = load("production", CONFIG, environ=environ)
    shown = masked(settings)
    assert SECRET not in json.dumps(shown)
    assert "hunter2" not in json.dumps(shown)
    assert shown["cluster"]["secrets"] == [MASK]
    assert set(shown) == set(Settings.__struct_fields__)
    for key in SECRET_KEYS:
        section, name = key.split(".")
        assert name in shown[section]


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
SECRETS = st.lists(st.text("abcXYZ019-_é", min_size=32, max_size=40), max_size=3)


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    seconds = st.floats(min_value=0.001, max_value=31_536_000.0)
    return {
        "node": {"host": draw(TEXT), "port": draw(st.integers(0, 65535)), "drain_seconds": draw(seconds)},
        "client": {
            "allow_anonymous": draw(st.booleans()),
            "token_hmac_secrets": draw(SECRETS),
            "allowed_origins": draw(st.lists(TEXT, max_size=3)),
            "max_outbox_bytes": draw(st.integers(1, 2**62)),
        },
        "cluster": {"name": draw(TEXT)},
        "registry": {"fallback_rule": {"pattern": draw(TEXT), "max_bytes": draw(st.integers(0, 2**40))}},
    }


@given(tables())
def test_settings_survive_being_written_and_read(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("config") / "development.toml"
    path.write_text(toml(values), encoding="utf-8")
    settings = load("development", path.parent)
    assert settings == msgspec.convert({"environment": "development", **values}, Settings)
    assert tomllib.loads(toml(masked(settings)))["node"] == msgspec.to_builtins(settings.node)


@given(
    st.text(max_size=40),
    st.sampled_from(
        [
            "WSP_NODE__PORT",
            "WSP_CLIENT__ALLOWED_ORIGINS",
            "WSP_CLIENT__PING_SECONDS",
            "WSP_LOG__LEVEL",
            "WSP_REGISTRY__FALLBACK_RULE",
            "WSP_CLIENT__TOKEN_PUBLIC_KEYS",
            "WSP_NODE__URL",
        ]
    ),
)
def test_any_text_in_the_environment_is_used_or_refused(text: str, variable: str) -> None:
    with suppress(SettingsError):
        load("development", CONFIG, environ={variable: text})


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_file_is_used_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("config") / "any.toml"
    path.write_bytes(content)
    with suppress(SettingsError):
        check_file(path)
