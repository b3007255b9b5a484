"""The mutual challenge and the seal: who gets in, who does not; nothing recorded or changed is worth anything."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.handshake import (
    NONCE_BYTES,
    SEAL_BYTES,
    Identity,
    Initiator,
    Opener,
    PeerIdentity,
    RefusedError,
    Responder,
    Role,
    Sealer,
    SessionKeys,
    refusal,
)
from wsplatform.errors import HandshakeError
from wsplatform.model import Instance

A = Instance("node-a", "1a")
B = Instance("node-b", "2b")


def identity(
    instance: Instance = A, *secrets: str, cluster: str = "test", role: Role = "node", version: int = 1
) -> Identity:
    return Identity(cluster, role, instance, secrets or ("secret",), version)


def nonce(fill: int) -> bytes:
    return bytes([fill]) * NONCE_BYTES


def shake(a: Identity, b: Identity) -> tuple[Initiator, Responder]:
    initiator, responder = Initiator(a, nonce(1)), Responder(b, nonce(2))
    responder.accept(initiator.challenged(responder.challenge(initiator.hello())))
    return initiator, responder


def test_both_learn_who_the_other_is_and_share_a_key_for_each_direction() -> None:
    initiator, responder = shake(identity(A), identity(B, role="registry"))
    assert initiator.peer == PeerIdentity("registry", B)
    assert responder.peer == PeerIdentity("node", A)
    assert initiator.keys == SessionKeys(send=responder.keys.receive, receive=responder.keys.send)
    assert initiator.keys.send != initiator.keys.receive


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (("old",), ("old", "new")),
        (("old",), ("new", "old")),
        (("old", "new"), ("new", "old")),
        (("new", "old"), ("new",)),
        (("x", "shared"), ("y", "shared")),
    ],
)
def test_lists_with_one_secret_in_common_understand_each_other(ours: tuple[str, ...], theirs: tuple[str, ...]) -> None:
    for a, b in ((ours, theirs), (theirs, ours)):
        initiator, responder = shake(identity(A, *a), identity(B, *b))
        assert initiator.keys.send == responder.keys.receive


def test_a_secret_that_is_not_shared_is_refused_by_the_initiator() -> None:
    initiator, responder = Initiator(identity(A, "one"), nonce(1)), Responder(identity(B, "two"), nonce(2))
    challenge = responder.challenge(initiator.hello())
    with pytest.raises(HandshakeError, match="at least one in common") as caught:
        initiator.challenged(challenge)
    assert caught.value.code == "wrong_secret"


def test_an_initiator_without_the_secret_is_refused_by_the_responder() -> None:
    """It cannot check the challenge, so it pretends: with proofs made for its own wrong secret."""
    honest, forger = Responder(identity(B, "right"), nonce(2)), Responder(identity(B, "wrong"), nonce(2))
    initiator = Initiator(identity(A, "wrong"), nonce(1))
    honest.challenge(initiator.hello())
    proof = initiator.challenged(forger.challenge(initiator.hello()))
    with pytest.raises(HandshakeError) as caught:
        honest.accept(proof)
    assert caught.value.code == "wrong_secret"


@pytest.mark.parametrize(
    ("other", "code"),
    [
        (identity(B, version=2), "wrong_version"),
        (identity(B, cluster="other"), "wrong_cluster"),
        (identity(A), "self_connection"),
    ],
)
def test_a_hello_from_elsewhere_is_refused_and_the_other_side_learns_why(other: Identity, code: str) -> None:
    initiator = Initiator(other, nonce(1))
    with pytest.raises(HandshakeError) as caught:
        Responder(identity(A), nonce(2)).challenge(initiator.hello())
    assert caught.value.code == code
    with pytest.raises(RefusedError, match="Refused by the other side") as told:
        initiator.challenged(refusal(caught.value))
    assert told.value.code == code


def test_a_refusal_by_the_initiator_reaches_the_responder() -> None:
    responder = Responder(identity(A), nonce(2))
    responder.challenge(Initiator(identity(B), nonce(1)).hello())
    with pytest.raises(RefusedError) as caught:
        responder.accept(refusal(HandshakeError("wrong_secret", "no")))
    assert caught.value.code == "wrong_secret"


def test_a_newer_version_is_told_from_garbage_although_its_hello_has_other_fields() -> None:
    newer = msgspec.msgpack.encode(["wsp.hello", 7, {"quite": "different"}, []])
    with pytest.raises(HandshakeError, match="version 7, this one 1") as caught:
        Responder(identity(A), nonce(2)).challenge(newer)
    assert caught.value.code == "wrong_version"


def test_one_id_with_two_incarnations_is_not_a_self_connection() -> None:
    shake(identity(A), identity(Instance(A.node_id, "other")))


def test_a_node_and_a_registry_may_be_one_instance() -> None:
    shake(identity(A), identity(A, role="registry"))


@given(st.data())
def test_no_message_survives_a_changed_byte(data: st.DataObject) -> None:
    initiator = Initiator(identity(A, "unshared", "secret"), nonce(1))
    responder = Responder(identity(B, "secret", "third"), nonce(2))
    broken = data.draw(st.sampled_from(["hello", "challenge", "proof"]))

    def pass_on(name: str, message: bytes) -> bytes:
        if name != broken:
            return message
        index = data.draw(st.integers(0, len(message) - 1))
        change = data.draw(st.integers(1, 255))
        return message[:index] + bytes([message[index] ^ change]) + message[index + 1 :]

    def shake() -> None:
        challenge = pass_on("challenge", responder.challenge(pass_on("hello", initiator.hello())))
        responder.accept(pass_on("proof", initiator.challenged(challenge)))

    with pytest.raises(HandshakeError):
        shake()


def test_a_recorded_initiator_is_worth_nothing_to_a_new_responder() -> None:
    initiator, responder = Initiator(identity(A), nonce(1)), Responder(identity(B), nonce(2))
    hello = initiator.hello()
    proof = initiator.challenged(responder.challenge(hello))
    responder.accept(proof)
    again = Responder(identity(B), nonce(3))
    again.challenge(hello)
    with pytest.raises(HandshakeError) as caught:
        again.accept(proof)
    assert caught.value.code == "wrong_secret"


def test_a_recorded_responder_is_worth_nothing_to_a_new_initiator() -> None:
    initiator, responder = Initiator(identity(A), nonce(1)), Responder(identity(B), nonce(2))
    challenge = responder.challenge(initiator.hello())
    initiator.challenged(challenge)
    with pytest.raises(HandshakeError) as caught:
        Initiator(identity(A), nonce(3)).challenged(challenge)
    assert caught.value.code == "wrong_secret"


def test_one_responder_takes_one_proof() -> None:
    initiator, responder = Initiator(identity(A), nonce(1)), Responder(identity(B), nonce(2))
    proof = initiator.challenged(responder.challenge(initiator.hello()))
    responder.accept(proof)
    with pytest.raises(RuntimeError):
        responder.accept(proof)
    with pytest.raises(RuntimeError):
        responder.challenge(initiator.hello())


def test_nothing_is_known_before_the_end() -> None:
    responder = Responder(identity(B), nonce(2))
    responder.challenge(Initiator(identity(A), nonce(1)).hello())
    with pytest.raises(RuntimeError):
        _ = responder.peer
    with pytest.raises(RuntimeError):
        _ = responder.keys


@given(st.binary(max_size=4096))
def test_garbage_gets_a_coded_error(garbage: bytes) -> None:
    with pytest.raises(HandshakeError):
        Responder(identity(A), nonce(1)).challenge(garbage)
    with pytest.raises(HandshakeError):
        Initiator(identity(A), nonce(1)).challenged(garbage)
    responder = Responder(identity(A), nonce(1))
    responder.challenge(Initiator(identity(B), nonce(2)).hello())
    with pytest.raises(HandshakeError):
        responder.accept(garbage)


def test_deep_nesting_gets_a_coded_error() -> None:
    with pytest.raises(HandshakeError):
        Responder(identity(A), nonce(1)).challenge(
            b"\x93" + msgspec.msgpack.encode("wsp.hello") + b"\x01" + b"\x91" * 2000
        )


@pytest.mark.parametrize("bad", [b"", b"short"])
def test_a_nonce_has_its_full_length(bad: bytes) -> None:
    with pytest.raises(ValueError, match="nonce"):
        Initiator(identity(A), bad)


KEY = b"k" * 32


@given(st.lists(st.binary(max_size=200), max_size=20), st.binary(max_size=20))
def test_what_is_sealed_opens_in_order(payloads: list[bytes], context: bytes) -> None:
    sealer, opener = Sealer(KEY), Opener(KEY, contiguous=True)
    for payload in payloads:
        sealed = sealer.seal(payload, context)
        assert len(sealed) == len(payload) + SEAL_BYTES
        assert opener.open(sealed, context) == payload


@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_sealed_message_does_not_survive_a_change(payload: bytes, data: st.DataObject) -> None:
    sealed = Sealer(KEY).seal(payload, b"context")
    index = data.draw(st.integers(0, len(sealed) - 1))
    change = data.draw(st.integers(1, 255))
    changed = sealed[:index] + bytes([sealed[index] ^ change]) + sealed[index + 1 :]
    cut = sealed[: data.draw(st.integers(0, len(sealed) - 1))]
    for wrong, key, context in (
        (changed, KEY, b"context"),
        (cut, KEY, b"context"),
        (sealed + b"x", KEY, b"context"),
        (sealed, b"o" * 32, b"context"),
        (sealed, KEY, b"other context"),
    ):
        with pytest.raises(HandshakeError) as caught:
            Opener(key).open(wrong, context)
        assert caught.value.code == "bad_mac"


def test_what_is_sealed_cannot_be_read_and_never_looks_the_same() -> None:
    sealer = Sealer(KEY)
    first, second = sealer.seal(b"a request" * 20), sealer.seal(b"a request" * 20)
    assert b"request" not in first + second
    assert first[8:] != second[8:]


def test_a_context_cannot_be_moved_into_the_payload() -> None:
    with pytest.raises(HandshakeError):
        Opener(KEY).open(Sealer(KEY).seal(b"payload", b"context"), b"con")


@given(st.lists(st.integers(0, 9), max_size=30))
def test_each_counter_is_taken_once_and_only_upwards(order: list[int]) -> None:
    sealer, opener, last = Sealer(KEY), Opener(KEY), -1
    sealed = [sealer.seal(bytes([number])) for number in range(10)]
    for number in order:
        if number > last:
            assert opener.open(sealed[number]) == bytes([number])
            last = number
        else:
            with pytest.raises(HandshakeError) as caught:
                opener.open(sealed[number])
            assert caught.value.code == "replayed"


def test_a_contiguous_opener_misses_a_removed_message() -> None:
    sealer, opener = Sealer(KEY), Opener(KEY, contiguous=True)
    sealer.seal(b"removed on its way")
    with pytest.raises(HandshakeError) as caught:
        opener.open(sealer.seal(b"second"))
    assert caught.value.code == "out_of_order"


def test_a_forged_message_does_not_use_up_a_counter() -> None:
    sealer, opener = Sealer(KEY), Opener(KEY, contiguous=True)
    sealed = sealer.seal(b"real")
    with pytest.raises(HandshakeError):
        opener.open(sealed[:-1] + b"x")
    assert opener.open(sealed) == b"real"


def test_keys_branch_alike_on_both_sides_and_apart_by_label() -> None:
    ours = SessionKeys(send=b"s" * 32, receive=b"r" * 32)
    theirs = SessionKeys(send=b"r" * 32, receive=b"s" * 32)
    rows = [ours.branch(label) for label in (b"push", b"pull")]
    assert [(row.receive, row.send) for row in rows] == [
        (row.send, row.receive) for row in (theirs.branch(b"push"), theirs.branch(b"pull"))
    ]
    keys = {key for row in (ours, *rows) for key in (row.send, row.receive)}
    assert len(keys) == 6
    assert {len(key) for key in keys} == {32}
