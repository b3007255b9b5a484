"""Contexts that follow their files; what each side is told when TLS fails."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from loguru import logger

from tests.support.certificates import Authority
from tests.support.wait import eventually
from tests.support.websocket import Recorder, Server, echo
from wsplatform.errors import StartError
from wsplatform.net.connect import ConnectRefused, connect
from wsplatform.net.sweep import Sweep
from wsplatform.net.tls import Tls, TlsFiles, explain
from wsplatform.net.websocket import ConnectionLimits, WebSocketConnection

LIMITS = ConnectionLimits(max_message=1_000_000, max_outbox=1_000_000, close_timeout=0.3)

_LOCKED = """-----BEGIN ENCRYPTED PRIVATE KEY-----
MIH0MF8GCSqGSIb3DQEFDTBSMDEGCSqGSIb3DQEFDDAkBBAbavwr4J9NuX3vCBlX
BMYOAgIIADAMBggqhkiG9w0CCQUAMB0GCWCGSAFlAwQBKgQQDwErMhKLdxs+nKub
v5numQSBkKGnyBTr0Eyj8Haojz7d1iA3c9U7nB0HrLjElYWZWdNe3fcHA2S/Hdkw
lUyZS84d6eAgB72YxFut7zsfQc8Mum67axu+pGzzLC8034ecAt95H+dYE+mRz8tl
3xDqTaNiVBXPkaSNphjtoyqWVx3cKtJYhUKL7Nhn8k7eWtMt2zquxuwBSUOuWeAj
Y+/m+kU2qA==
-----END ENCRYPTED PRIVATE KEY-----
"""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def sweep() -> AsyncIterator[Sweep]:
    sweep = Sweep(0.05)
    sweep.start(asyncio.get_running_loop())
    yield sweep
    sweep.stop()


@pytest.fixture
def logged() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lines.append, diagnose=False)
    yield lines
    logger.remove(sink)


async def open_(server: Server, tls: Tls, sweep: Sweep, scheme: str = "wss") -> WebSocketConnection:
    context = tls.connecting if scheme == "wss" else None
    url = f"{scheme}://127.0.0.1:{server.port}/ws"
    connection = await connect(url, Recorder(), LIMITS, sweep=sweep, ssl=context)
    connection.close(1000)
    return connection


async def failure(server: Server, tls: Tls, sweep: Sweep) -> str:
    """The code with which connecting fails."""
    with pytest.raises((ssl.SSLError, ConnectRefused)) as caught:
        await open_(server, tls, sweep)
    error = explain(caught.value)
    assert error is not None, caught.value
    return error.code


async def test_two_processes_with_certificates_of_one_authority_know_each_other(
    authority: Authority, sweep: Sweep, logged: list[str]
) -> None:
    n1, n2 = Tls(authority.issue("n1")), Tls(authority.issue("n2"))
    async with Server(n1.listening) as server:
        server.reply = echo
        handler = Recorder()
        url = f"wss://127.0.0.1:{server.port}/ws"
        connection = await connect(url, handler, LIMITS, sweep=sweep, ssl=n2.connecting)
        connection.send_binary(b"x" * 300_000)
        await eventually(lambda: ("binary", b"x" * 300_000) in handler.told)
        connection.close(1000)
        await eventually(lambda: handler.end)
    assert not logged


async def test_an_authority_alone_is_enough_where_no_certificate_is_asked_for(
    authority: Authority, sweep: Sweep
) -> None:
    server_side = Tls(replace(authority.issue("n1"), authorities=""))
    async with Server(server_side.listening) as server:
        await open_(server, Tls(TlsFiles(authorities=authority.path)), sweep)


@pytest.mark.parametrize(
    ("case", "here", "there"),
    [
        ("other authority", "certificate_untrusted", ""),
        ("system authorities", "certificate_untrusted", ""),
        ("other name", "certificate_name", ""),
        ("server's certificate for clients", "certificate_purpose", ""),
        ("no certificate", "certificate_wanted", "certificate_missing"),
        ("certificate of another authority", "certificate_refused", "certificate_untrusted"),
        ("certificate for servers", "certificate_refused", "certificate_purpose"),
    ],
)
async def test_who_is_not_to_be_trusted_is_told_why_and_so_is_the_log(  # noqa: PLR0917 - of pytest
    authority: Authority, tmp_path: Path, sweep: Sweep, logged: list[str], case: str, here: str, there: str
) -> None:
    """here: what the side that connects says; there: what the listener does, when it was the one who refused."""
    host = "n1.internal" if case == "other name" else "127.0.0.1"
    listening = authority.issue("n1", host, use="client" if case == "server's certificate for clients" else "any")
    files = authority.issue("n2", use="server" if case == "certificate for servers" else "any")
    other = Authority(tmp_path, "other")
    if case == "other authority":
        files = replace(files, authorities=other.path)
    elif case == "system authorities":
        files = replace(files, authorities="")
    elif case == "no certificate":
        files = TlsFiles(authorities=authority.path)
    elif case == "certificate of another authority":
        files = replace(other.issue("n3"), authorities=authority.path)
    async with Server(Tls(listening).listening) as server:
        tls = Tls(files)
        assert await failure(server, tls, sweep) == here
        assert await failure(server, tls, sweep) == here
        await eventually(lambda: not server.connections)
    assert ["[" + there in line for line in logged] == [True] * bool(there)  # once, not for each try


async def test_expired_while_in_use(
    authority: Authority, sweep: Sweep, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsplatform.net.tls._check_expiry", lambda certificate, path: None)
    fine, expired = Tls(authority.issue("n1")), Tls(authority.issue("old", lasts=timedelta(hours=-1)))
    async with Server(expired.listening) as server:
        assert await failure(server, fine, sweep) == "certificate_expired"
    async with Server(fine.listening) as server:
        assert await failure(server, expired, sweep) == "certificate_expired"
    assert sum("[certificate_expired]" in line for line in logged) == 1


async def test_one_side_with_tls_and_one_without(authority: Authority, sweep: Sweep, logged: list[str]) -> None:
    tls = Tls(authority.issue("n1"))
    async with Server(None) as server:
        assert await failure(server, tls, sweep) == "no_tls"
    async with Server(tls.listening) as server:
        with pytest.raises(OSError, match="TLS"):
            await open_(server, tls, sweep, "ws")
        await eventually(lambda: any("[no_tls]" in line for line in logged))


async def test_changed_files_are_used_for_new_connections(
    authority: Authority, sweep: Sweep, logged: list[str]
) -> None:
    files = authority.issue("n1", "n1.internal")
    listening, connecting = Tls(files), Tls(authority.issue("n2"))
    async with Server(listening.listening) as server:
        assert await failure(server, connecting, sweep) == "certificate_name"
        authority.issue("n1", "127.0.0.1")
        await open_(server, connecting, sweep)
        Path(files.key).write_text("half a key")
        await open_(server, connecting, sweep)
        assert sum("the earlier ones stay in use" in line for line in logged) == 1
        Path(files.certificate).unlink()
        await open_(server, connecting, sweep)
        authority.issue("n1", "n1.internal")
        assert await failure(server, connecting, sweep) == "certificate_name"


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("missing", "tls_file_unreadable"),
        ("folder", "tls_file_unreadable"),
        ("no certificate in it", "tls_file_invalid"),
        ("no key in it", "tls_file_invalid"),
        ("other key", "tls_key_mismatch"),
        ("key with a password", "tls_file_invalid"),
        ("no authority in it", "tls_file_invalid"),
        ("expired", "certificate_expired"),
    ],
)
def test_files_that_cannot_be_used_are_refused_at_the_start(
    authority: Authority, tmp_path: Path, case: str, code: str
) -> None:
    files = authority.issue("n1", lasts=timedelta(days=-1 if case == "expired" else 1))
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("garbage")
    locked = tmp_path / "locked.pem"
    locked.write_text(_LOCKED)
    changed = {
        "missing": replace(files, certificate=str(tmp_path / "nowhere.pem")),
        "folder": replace(files, key=str(tmp_path)),
        "no certificate in it": replace(files, certificate=str(garbage)),
        "no key in it": replace(files, key=str(garbage)),
        "other key": replace(files, key=authority.issue("n2").key),
        "key with a password": replace(files, key=str(locked)),
        "no authority in it": replace(files, authorities=str(garbage)),
    }
    with pytest.raises(StartError) as caught:
        Tls(changed.get(case, files))
    assert caught.value.code == code
    assert str(tmp_path) in str(caught.value)


def test_what_is_no_failure_of_tls_is_not_explained() -> None:
    assert explain(ConnectionRefusedError()) is None
