"""The transport nats logs in to a server, and knows one that it must not talk to."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import ipaddress
import json
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path

import nkeys
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.wait import eventually
from wsplatform.settings import NatsTable
from wsplatform.testing.transport_nodes import introduce


class TestLogin:
    @pytest.mark.parametrize(
        ("options", "right", "wrong"),
        [
            (
                'authorization { user: "u", password: "only-for-this-test" }',
                {"user": "u", "password": "only-for-this-test"},
                {"user": "u", "password": "hunter2hunter2"},
            ),
            (
                'authorization { token: "only-for-this-test" }',
                {"token": "only-for-this-test"},
                {"token": "hunter2hunter2"},
            ),
        ],
        ids=["password", "token"],
    )
    async def test_by(self, server, nodes, logged, options, right, wrong):
        server.kill()
        server.configure(options)
        server.start()
        a = await nodes.add("a", table=NatsTable(urls=(server.url,), **right))
        b = await nodes.add("b", table=NatsTable(urls=(server.url,), **right))
        c = await nodes.add("c", table=NatsTable(urls=(server.url,), **wrong))
        introduce(a, b, c)
        await eventually(lambda: a.sees(b) and b.sees(a))
        await eventually(lambda: any("Authorization Violation: check nats.user" in line for line in logged))
        assert not any("hunter2" in line for line in logged)
        assert c.sees()

    async def test_permissions_for_the_prefix_are_enough_and_missing_ones_are_told_of(self, server, nodes, logged):
        server.kill()
        permission = 'permissions: { publish: "wsplatform.wsplatform.>", subscribe: "wsplatform.wsplatform.>" }'
        server.configure(
            f"authorization {{ users: [ {{ user: u, password: p, {permission} }},"
            '{ user: v, password: p, permissions: { publish: "other", subscribe: "other" } } ] }'
        )
        server.start()
        a = await nodes.add("a", table=NatsTable(urls=(server.url,), user="u", password="p"))
        b = await nodes.add("b", table=NatsTable(urls=(server.url,), user="u", password="p"))
        introduce(a, b)
        await eventually(lambda: a.sees(b) and b.sees(a))
        await nodes.add("c", table=NatsTable(urls=(server.url,), user="v", password="p"))
        await eventually(lambda: any("ermissions" in line for line in logged))


@contextlib.asynccontextmanager
async def listening(said: list[bytes]) -> AsyncIterator[int]:
    """A server without TLS that notes what it is told."""

    async def serve(reader, writer):
        writer.write(b'INFO {"server_id":"x","version":"2.9.10","max_payload":1048576,"auth_required":true}\r\n')
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                said.append(line)
                if line.startswith(b"PING"):
                    writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_where_tls_is_asked_for_nothing_less_will_do(nodes, logged):
    said: list[bytes] = []
    async with listening(said) as port:
        table = NatsTable(urls=(f"tls://127.0.0.1:{port}",), user="u", password="hunter2hunter2")
        a = await nodes.add("a", table=table)
        await eventually(lambda: any("nats_unavailable" in line for line in logged))
        assert not any(b"hunter2" in line for line in said)
        b = await nodes.add("b", table=NatsTable(urls=(f"tls://127.0.0.1:{port}",)))
        await eventually(lambda: any("offers no TLS" in line for line in logged))
        await a.stop()
        await b.stop()


async def test_with_tls_by_an_authority_of_ones_own(server, nodes, logged, tmp_path):
    ca_file = certificate(tmp_path)
    server.kill()
    server.configure(f'tls {{ cert_file: "{ca_file}", key_file: "{tmp_path}/key.pem" }}')
    server.start()
    url = f"tls://127.0.0.1:{server.port}"
    a = await nodes.add("a", table=NatsTable(urls=(url,), ca_file=str(ca_file)))
    b = await nodes.add("b", table=NatsTable(urls=(url,), ca_file=str(ca_file)))
    introduce(a, b)
    await eventually(lambda: a.sees(b) and b.sees(a))
    assert a.send(b, bytes(1_000_000))
    await eventually(lambda: b.got(a) == [bytes(1_000_000)])
    await nodes.add("c", table=NatsTable(urls=(url,)))
    await eventually(lambda: any("certificate verify failed" in line for line in logged))


async def test_with_the_text_of_a_credentials_file(server, nodes, logged):
    conf, credentials = operated()
    server.kill()
    server.configure(conf)
    server.start()
    table = NatsTable(urls=(server.url,), credentials=credentials)
    a, b = await nodes.add("a", table=table), await nodes.add("b", table=table)
    introduce(a, b)
    await eventually(lambda: a.sees(b) and b.sees(a))
    await nodes.add("c", table=NatsTable(urls=(server.url,), credentials=operated()[1]))
    await eventually(lambda: any("Authorization Violation" in line for line in logged))


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1, signed by itself; its key is beside it, in key.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nats for a test")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, *plain))
    (folder / "certificate.pem").write_bytes(made.public_bytes(pem))
    return folder / "certificate.pem"


def operated() -> tuple[str, str]:
    """Lines for a server that trusts one operator, who trusts one account; and the credentials of a user of that."""
    operator, account, user = (
        nkeys.from_seed(nkeys.encode_seed(secrets.token_bytes(32), prefix))
        for prefix in (nkeys.PREFIX_BYTE_OPERATOR, nkeys.PREFIX_BYTE_ACCOUNT, nkeys.PREFIX_BYTE_USER)
    )
    unlimited = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
    of_operator = jwt(operator, operator, {"type": "operator"})
    of_account = jwt(operator, account, {"type": "account", "limits": {**unlimited, "wildcards": True}})
    of_user = jwt(account, user, {"type": "user", "subs": -1, "data": -1, "payload": -1})
    name = account.public_key.decode()
    conf = f"operator: {of_operator}\nresolver: MEMORY\nresolver_preload: {{ {name}: {of_account} }}"
    seed = bytes(user.seed).decode()
    return conf, (
        f"-----BEGIN NATS USER JWT-----\n{of_user}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )


def jwt(issuer: nkeys.KeyPair, subject: nkeys.KeyPair, claims: dict[str, object]) -> str:
    """As NATS has them: signed by Ed25519, header and claims without padding."""
    body = {
        "jti": secrets.token_hex(16),
        "iat": int(time.time()),
        "iss": issuer.public_key.decode(),
        "sub": subject.public_key.decode(),
        "name": "test",
        "nats": {**claims, "version": 2},
    }
    parts = ({"typ": "JWT", "alg": "ed25519-nkey"}, body)
    text = ".".join(plain64(json.dumps(part).encode()) for part in parts)
    return f"{text}.{plain64(issuer.sign(text.encode()))}"


def plain64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
