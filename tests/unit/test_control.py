"""The control session: what gets through, what does not, and what strangers cannot do to it."""

from __future__ import annotations

import contextlib
import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.control import Call, ControlSession, ControlSessions, Opening, Outcome, SessionLimits, refuse
from wsplatform.core.handshake import NONCE_BYTES, Identity, Initiator, RefusedError, Role, refusal
from wsplatform.errors import HandshakeError, RequestError
from wsplatform.model import Instance

NODE = Instance("node-a", "1a")
REGISTRY = Instance("registry", "r1")
OK = Outcome(b"ok")
LIMITS = SessionLimits(openings=3, opening_seconds=10, sessions=4, session_seconds=100)


def identity(instance: Instance, role: Role, secret: str = "secret") -> Identity:
    return Identity("test", role, instance, (secret,))


class Registry:
    def __init__(self, limits: SessionLimits = LIMITS, secret: str = "secret", role: Role = "registry") -> None:
        self.sessions = ControlSessions(identity(REGISTRY, role, secret), limits)
        self.now = 0.0
        self._ids = itertools.count(1)

    def open(self, initiator: Initiator, address: str = "192.0.2.1") -> bytes:
        return self.sessions.open(initiator.hello(), f"s{next(self._ids)}", b"R" * NONCE_BYTES, address, self.now)

    def connect(self, node: Instance = NODE, secret: str = "secret", address: str = "192.0.2.1") -> ControlSession:
        initiator = Initiator(identity(node, "node", secret), b"N" * NONCE_BYTES)
        return ControlSession(initiator, self.open(initiator, address))

    def answer(self, method: str, body: bytes, outcome: Outcome = OK) -> bytes:
        return self.sessions.receive(method, body, self.now).seal(outcome)

    def ask(self, session: ControlSession, payload: bytes = b"?") -> Outcome:
        return session.answered("heartbeat", self.answer("heartbeat", session.ask("heartbeat", payload)))


def test_a_session_carries_requests_and_their_outcomes() -> None:
    registry = Registry()
    session = registry.connect()
    for number in range(3):
        body = session.ask("register", b"payload %d" % number)
        received = registry.sessions.receive("register", body, registry.now)
        assert received.payload == b"payload %d" % number
        assert received.peer.instance == NODE
        outcome = Outcome(b"result %d" % number)
        assert session.answered("register", received.seal(outcome)) == outcome


def test_an_error_is_told_under_seal() -> None:
    registry = Registry()
    session = registry.connect()
    outcome = Outcome(status=409, code="superseded", message="Another has this id.")
    assert session.answered("leave", registry.answer("leave", session.ask("leave", b""), outcome)) == outcome


def test_requests_and_replies_may_get_lost() -> None:
    registry = Registry()
    session = registry.connect()
    session.ask("register", b"lost on its way there")
    registry.answer("register", session.ask("register", b"its reply is lost"))
    assert registry.ask(session).result == b"ok"
    session.ask("heartbeat", b"lost again")
    assert registry.ask(session).result == b"ok"


def test_a_request_that_comes_twice_counts_once() -> None:
    registry = Registry()
    session = registry.connect()
    body = session.ask("heartbeat", b"?")
    registry.answer("heartbeat", body)
    with pytest.raises(HandshakeError) as caught:
        registry.answer("heartbeat", body)
    assert caught.value.code == "replayed"
    assert registry.ask(session).result == b"ok", "the session itself is none the worse"


def test_a_request_is_for_one_method_only() -> None:
    registry = Registry()
    body = registry.connect().ask("heartbeat", b"?")
    with pytest.raises(HandshakeError) as caught:
        registry.answer("leave", body)
    assert caught.value.code == "bad_mac"


def test_a_reply_cannot_be_kept_for_a_later_request() -> None:
    registry = Registry()
    session = registry.connect()
    held_back = registry.answer("heartbeat", session.ask("heartbeat", b"?"))
    session.ask("heartbeat", b"?")
    with pytest.raises(HandshakeError) as caught:
        session.answered("heartbeat", held_back)
    assert caught.value.code == "bad_mac"


@given(st.data())
def test_what_was_changed_on_its_way_is_refused(data: st.DataObject) -> None:
    registry = Registry()
    session = registry.connect()
    registry.ask(session)
    body = session.ask("heartbeat", b"payload")
    with pytest.raises((HandshakeError, RequestError)):
        registry.answer("heartbeat", flipped(data, body))
    reply = registry.answer("heartbeat", body)
    with pytest.raises(HandshakeError):
        session.answered("heartbeat", flipped(data, reply))
    assert session.answered("heartbeat", reply).result == b"ok"


def flipped(data: st.DataObject, message: bytes) -> bytes:
    position = data.draw(st.integers(0, len(message) - 1))
    changed = bytearray(message)
    changed[position] ^= data.draw(st.integers(1, 255))
    return bytes(changed)


def test_another_secret_is_found_by_the_node_and_told_to_the_registry() -> None:
    registry = Registry()
    initiator = Initiator(identity(NODE, "node", "another"), b"N" * NONCE_BYTES)
    opening = registry.open(initiator)
    with pytest.raises(HandshakeError) as caught:
        ControlSession(initiator, opening)
    assert caught.value.code == "wrong_secret"
    with pytest.raises(RefusedError, match="at least one in common"):
        registry.answer("register", refuse(opening, refusal(caught.value)))


def test_a_proof_made_with_another_secret_is_refused() -> None:
    """As from somebody who knows the protocol and not the secret: he answers a challenge of his own making."""
    registry, own = Registry(), Registry(secret="another")
    forged = own.connect(secret="another").ask("register", b"?")
    registry.open(Initiator(identity(NODE, "node"), b"N" * NONCE_BYTES))
    with pytest.raises(HandshakeError) as caught:
        registry.answer("register", forged)
    assert caught.value.code == "wrong_secret"


def test_a_node_does_not_take_another_node_for_the_registry() -> None:
    with pytest.raises(HandshakeError) as caught:
        Registry(role="node").connect()
    assert caught.value.code == "wrong_role"


def test_nobody_gets_a_session_without_a_proof() -> None:
    registry = Registry()
    opening = registry.open(Initiator(identity(NODE, "node"), b"N" * NONCE_BYTES))
    session = msgspec.msgpack.decode(opening, type=Opening).session
    with pytest.raises(HandshakeError) as caught:
        registry.answer("register", msgspec.msgpack.encode(Call(session, b"", b"")))
    assert caught.value.code == "malformed"


def unknown(registry: Registry, session: ControlSession) -> bool:
    try:
        registry.ask(session)
    except RequestError as error:
        return (error.status, error.code) == (401, "unknown_session")
    return False


def test_sessions_and_openings_end_with_time() -> None:
    registry = Registry()
    session, opened = registry.connect(), registry.connect(Instance("node-b", "1"))
    registry.ask(session)
    registry.now = 10.0
    assert unknown(registry, opened)
    assert not unknown(registry, session)
    registry.now = 100.0
    assert unknown(registry, session)
    assert not unknown(registry, registry.connect())


def test_the_longest_unused_session_gives_way() -> None:
    registry = Registry()
    sessions = [registry.connect(Instance(f"node-{number}", "1")) for number in range(3)]
    for session in sessions:
        registry.ask(session)
    registry.ask(sessions[0])
    for number in range(3, 5):
        registry.ask(registry.connect(Instance(f"node-{number}", "1")))
    assert unknown(registry, sessions[1])
    assert not unknown(registry, sessions[0])


def test_an_instance_has_one_session() -> None:
    registry = Registry()
    first = registry.connect()
    registry.ask(first)
    second = registry.connect()
    registry.ask(second)
    assert unknown(registry, first)
    assert not unknown(registry, second)
    for _ in range(20):
        registry.ask(registry.connect())
    assert len(registry.sessions) <= LIMITS.openings + 1


def test_strangers_cannot_push_out_a_session() -> None:
    registry = Registry()
    session = registry.connect()
    registry.ask(session)
    for number in range(1000):
        registry.connect(Instance(f"stranger-{number}", "1"))
    assert len(registry.sessions) == LIMITS.openings + 1
    assert not unknown(registry, session)


def test_strangers_from_elsewhere_cannot_push_out_an_opening() -> None:
    registry = Registry()
    session = registry.connect()
    for number in range(1000):
        registry.connect(Instance(f"stranger-{number}", "1"), address="198.51.100.7")
    assert not unknown(registry, session)


@given(st.binary(max_size=300))
def test_the_registry_survives_any_bytes(message: bytes) -> None:
    registry = Registry()
    with contextlib.suppress(HandshakeError):
        registry.sessions.open(message, "s", b"R" * NONCE_BYTES, "", 0.0)
    with contextlib.suppress(HandshakeError, RequestError):
        registry.sessions.receive("register", message, 0.0)


@given(
    st.one_of(
        st.binary(max_size=300),
        st.builds(lambda session, rest: msgspec.msgpack.encode([session, rest]), st.text(), st.binary()),
        st.builds(msgspec.msgpack.encode, st.lists(st.one_of(st.text(), st.binary()))),
    )
)
def test_the_node_survives_any_bytes(message: bytes) -> None:
    initiator = Initiator(identity(NODE, "node"), b"N" * NONCE_BYTES)
    with pytest.raises(HandshakeError):
        ControlSession(initiator, message)
    refuse(message, b"refusal")
    session = Registry().connect()
    session.ask("register", b"?")
    with pytest.raises(HandshakeError):
        session.answered("register", message)
