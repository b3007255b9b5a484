import json
import signal
import subprocess
import sys
import tomllib

import jwt
import pytest

import wsplatform as package
from tests.support.cli import clean_environment, program, wsplatform
from wsplatform.cli import COMMANDS

NOBODY = "http://127.0.0.1:1"


def test_help_names_every_command_and_loads_little() -> None:
    script = (
        "import sys; from wsplatform.cli import run; run(['--help']);"
        "print(sorted({'sanic', 'aiohttp', 'msgspec', 'asyncio', 'loguru', 'peewee'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for name in COMMANDS:
        assert f"  {name} " in done.stdout


def test_version() -> None:
    assert wsplatform("--version").stdout == f"wsplatform {package.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["serve", "--nonsense"],
        ["publish", "channel"],
        ["subscribe"],
        ["serve", "--role", "king"],
        ["serve", "--set", "node.port"],
        ["serve", "--set", "port=1"],
        ["publish", "channel", "1", "--server", "ftp://host"],
        ["publish", "channel", "1", "--server", "http://user:hunter2@host"],
        ["publish", "channel", "1", "--server", "http://host:99999"],
        ["publish", "channel", "1", "--key", "a\nb"],
        ["token", "--user", "anna", "--expires", "soon"],
        ["token", "--user", "anna", "--channel", "a*"],
        ["token"],
        ["subscribe", "--count", "0", "news"],
        ["cluster", "--nodes", "0"],
    ],
    ids=" ".join,
)
def test_what_is_not_understood_is_one_line_and_status_2(arguments: list[str]) -> None:
    done = wsplatform(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert line.endswith(" [usage]")
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["serve", "--set", "node.prot=1"], "invalid_setting"),
        (["serve", "--port", "http"], "invalid_setting"),
        (["serve", "--env", "staging"], "invalid_setting"),
        (["serve", "--config", "missing.toml"], "invalid_setting"),
        (["serve", "--env", "production"], "invalid_setting"),
        (["config", "check", "missing.toml"], "invalid_setting"),
        (["migrate", "--set", "registry.database=nonsense"], "invalid_database"),
        (["migrate", "--set", "registry.database=sqlite:////nonexistent/file.db"], "database_unavailable"),
        (["publish", "news", "1", "--server", NOBODY, "--key", "k"], "unreachable"),
        (["publish", "news", "1"], "no_key"),
        (["publish", "news", "{"], "invalid_json"),
        (["publish", "news", "nan"], "invalid_json"),
        (["subscribe", "news", "--server", NOBODY], "unreachable"),
        (["nodes"], "no_key"),
        (["nodes", "--server", NOBODY, "--key", "k"], "unreachable"),
        (["rules", "list", "--server", NOBODY, "--key", "k"], "unreachable"),
        (["key", "list", "--server", NOBODY, "--key", "k"], "unreachable"),
        (["token", "--user", "anna", "--env", "production"], "invalid_setting"),
        (["token", "--user", "anna", "--info", "{"], "invalid_json"),
        (["cluster", "--data", "/dev/null/x"], "data_unusable"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_an_error_is_one_line_with_a_code_and_status_1(arguments: list[str], code: str) -> None:
    done = wsplatform(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert line.endswith(f" [{code}]")


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["nodes", "--json", "--server", NOBODY, "--key", "k"], 1, "unreachable"),
        (["nodes", "--json", "-x"], 2, "usage"),
    ],
    ids=["error", "usage"],
)
def test_where_json_is_asked_for_an_error_is_json_too(arguments: list[str], status: int, code: str) -> None:
    done = wsplatform(*arguments)
    assert (done.returncode, done.stdout) == (status, "")
    error = json.loads(done.stderr)["error"]
    assert error["code"] == code
    assert error["message"].endswith(".")


def test_config_show_is_a_settings_file_with_the_secrets_masked() -> None:
    done = wsplatform("config", "show", "--set", "node.port=9000", env={"WSP_CLIENT__PING_SECONDS": "12"})
    assert done.returncode == 0
    tables = tomllib.loads(done.stdout)
    assert tables["node"]["port"] == 9000
    assert tables["client"]["ping_seconds"] == 12.0
    assert tables["registry"]["fallback_rule"]["pattern"] == "*"
    assert "development-only" not in done.stdout
    same = json.loads(wsplatform("config", "show", "--json", "--env", "test").stdout)
    assert same["environment"] == "test"
    assert same["cluster"]["secrets"] == ["********"]


def test_config_check_tells_whether_a_process_could_start(tmp_path) -> None:
    assert wsplatform("config", "check").returncode == 0
    done = wsplatform("config", "check", "--env", "production", "--role", "node")
    assert done.returncode == 1
    assert "cluster.secrets" in done.stderr
    secret = "x" * 32
    env = {"WSP_CLUSTER__SECRETS": secret, "WSP_CLIENT__TOKEN_HMAC_SECRETS": secret, "WSP_ENV": "production"}
    env["WSP_NODE__HOST"] = "127.0.0.1"
    assert wsplatform("config", "check", "--role", "node", env=env).returncode == 0
    file = tmp_path / "settings.toml"
    file.write_text("[node]\nport = 'x'\n")
    done = wsplatform("config", "check", str(file))
    assert (done.returncode, done.stderr) == (
        1,
        "error: Setting node.port = 'x' cannot be used: expected int, got str. [invalid_setting]\n",
    )
    file.write_text("[node]\nport = 80\n")
    assert wsplatform("config", "check", str(file)).returncode == 0


def test_token_is_a_jwt_that_the_settings_secret_verifies() -> None:
    secret = "s" * 32
    env = {"WSP_CLIENT__TOKEN_HMAC_SECRETS": f"{secret},{'t' * 32}", "WSP_CLIENT__TOKEN_ISSUER": "me"}
    text = wsplatform("token", "--user", "anna", "--info", '{"name": "Ann"}', env=env).stdout.strip()
    claims = jwt.decode(text, secret, algorithms=["HS256"], issuer="me")
    assert claims["sub"] == "anna"
    assert claims["info"] == {"name": "Ann"}
    done = wsplatform("token", "--user", "anna", "--channel", "news", "--expires", "never", "--json", env=env)
    answer = json.loads(done.stdout)
    claims = jwt.decode(answer["token"], secret, algorithms=["HS256"], issuer="me")
    assert claims["channel"] == "news"
    assert "exp" not in claims
    assert answer["expires_at"] is None


def test_migrate_says_what_it_did(tmp_path) -> None:
    env = {"WSP_REGISTRY__DATABASE": f"sqlite:///{tmp_path}/registry.db"}
    pending = json.loads(wsplatform("migrate", "--dry-run", "--json", env=env).stdout)["pending"]
    assert pending
    assert wsplatform("migrate", env=env).stdout == "".join(f"applied: {name}\n" for name in pending)
    assert wsplatform("migrate", env=env).stdout == "the database is up to date\n"


def test_a_closed_pipe_ends_a_command_quietly() -> None:
    process = subprocess.Popen(
        program("config", "show"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment()
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(20) == 128 + signal.SIGPIPE


def test_completion_is_made_by_the_program() -> None:
    done = wsplatform("config", "show", env={"_WSPLATFORM_COMPLETE": "bash_source"})
    assert done.returncode == 0
    assert "_WSPLATFORM_COMPLETE=bash_complete" in done.stdout
    words = {"_WSPLATFORM_COMPLETE": "bash_complete", "COMP_WORDS": "wsplatform rules ", "COMP_CWORD": "2"}
    assert {line.split(",")[1] for line in wsplatform(env=words).stdout.splitlines()} == {
        "set",
        "list",
        "delete",
        "test",
    }
