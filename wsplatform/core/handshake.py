"""How two holders of a cluster secret prove that to each other, and how they seal what they say afterwards.

    initiator                                            responder
    hello(version, cluster, role, instance, nonce)  →
                                                    ←    challenge(the same of the responder, one proof for each secret)
    proof with the first own secret that fits       →

A proof is an HMAC-SHA256 (RFC 2104) over everything both sides have said so far, under a label of its direction:
neither a recorded nor a reflected message is worth anything. The responder offers a proof for each of its secrets:
two lists with one secret in common understand each other, which is what makes rotation possible. Both directions
get a key of their own, derived from that secret and the first two messages (one step of NIST SP 800-108). Who learns
the secret later can read what was recorded: forward secrecy is what TLS adds.

Pure: nonces come from the caller, who must take 32 fresh random bytes for each handshake.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wsplatform.errors import HandshakeError
from wsplatform.model import NODE_ID_PATTERN, Instance

PROTOCOL_VERSION: Final = 2
NONCE_BYTES: Final = 32
MAX_MESSAGE_BYTES: Final = 2048
MAX_SECRETS: Final = 16

_MAC_BYTES: Final = 32
_COUNTER_BYTES: Final = 8
_NONCE_BYTES: Final = 12  # of GCM; the first four are zero
_NONCE_HEAD: Final = bytes(_NONCE_BYTES - _COUNTER_BYTES)
_TAG_BYTES: Final = 16
SEAL_BYTES: Final = _COUNTER_BYTES + _TAG_BYTES
"""What sealing adds to a payload."""

Role = Literal["node", "registry"]

_Nonce = Annotated[bytes, msgspec.Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
_Proof = Annotated[bytes, msgspec.Meta(min_length=_MAC_BYTES, max_length=_MAC_BYTES)]
_Code = Annotated[str, msgspec.Meta(pattern=r"^[a-z_]{1,32}\Z")]

_SENTENCES: Final = {
    "wrong_version": "The other side speaks protocol version {theirs}, this one {ours}: run the same release on both.",
    "wrong_cluster": "The other side belongs to another cluster: correct cluster.name or the address.",
    "wrong_secret": "No secret of cluster.secrets is known to both sides: give them at least one in common.",
    "self_connection": "{here} has connected to itself: correct cluster.url of {wanted}.",
    "wrong_instance": "{there} looks for {wanted} here, at the address of {here}: correct cluster.url of {wanted}.",
    "wrong_role": "The other side is not of the kind that was asked for: correct the address.",
    "malformed": "What arrived is not a handshake of this protocol: make sure that only nodes use this address.",
}


class WrongInstanceError(HandshakeError):
    """Somebody else was looked for at this address."""

    def __init__(self, wanted: Instance, found: Instance) -> None:
        sentence = f"{found} answers at the address of {wanted}: correct cluster.url of node {wanted.node_id}."
        super().__init__("wrong_instance", sentence)
        self.wanted = wanted


class RefusedError(HandshakeError):
    """The other side has refused, and said why; there is nothing left to answer."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who one is. `secrets`: 1 to 16, the preferred one first."""

    cluster: str
    role: Role
    instance: Instance
    secrets: tuple[str, ...]
    version: int = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """Who the other side has proved to be."""

    role: Role
    instance: Instance


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """A key for each direction, as seen from one side."""

    send: bytes
    receive: bytes

    def branch(self, label: bytes) -> SessionKeys:
        """Keys derived from these for one of several rows of messages, each with a Sealer and counters of its own."""
        return SessionKeys(hmac.digest(self.send, label, "sha256"), hmac.digest(self.receive, label, "sha256"))


class _Hello(msgspec.Struct, array_like=True, tag="wsp.hello", frozen=True):
    version: int  # first in every version, so that a newer hello can be told from garbage
    cluster: str
    role: Role
    node_id: Annotated[str, msgspec.Meta(pattern=rf"^{NODE_ID_PATTERN}\Z")]
    incarnation: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}\Z")]
    nonce: _Nonce


class _Challenge(msgspec.Struct, array_like=True, tag="wsp.challenge", frozen=True):
    version: int
    hello: bytes
    proofs: Annotated[tuple[_Proof, ...], msgspec.Meta(min_length=1, max_length=MAX_SECRETS)]


class _Answer(msgspec.Struct, array_like=True, tag="wsp.proof", frozen=True):
    proof: _Proof


class _Refusal(msgspec.Struct, array_like=True, tag="wsp.refusal", frozen=True):
    """`wanted`: the id of the node that was looked for, where that is the reason."""

    version: int
    code: _Code
    wanted: Annotated[str, msgspec.Meta(pattern=rf"^({NODE_ID_PATTERN})?\Z")] = ""


class _AnyHello(msgspec.Struct, array_like=True, tag="wsp.hello", frozen=True):
    """The part of a hello that no version changes."""

    version: int


class _AnyChallenge(msgspec.Struct, array_like=True, tag="wsp.challenge", frozen=True):
    version: int


_UNDECODABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding can raise; the latter two for a string that is not UTF-8, and for very deep nesting."""

_encoder = msgspec.msgpack.Encoder()
_S = TypeVar("_S", _Hello, _Challenge, _Answer)


def refusal(error: HandshakeError) -> bytes:
    """The message that tells the other side why it is refused."""
    wanted = error.wanted.node_id if isinstance(error, WrongInstanceError) else ""
    return _encoder.encode(_Refusal(PROTOCOL_VERSION, error.code, wanted))


class Initiator:
    """The side that begins: hello(), then challenged() with what came back, and its result goes out. For one use.

    `wanted`: the node that is to answer; None: whoever does.
    """

    def __init__(self, local: Identity, nonce: bytes, wanted: Instance | None = None) -> None:
        self._local = local
        self._wanted = wanted
        self._hello = _hello(local, nonce)
        self._result: tuple[PeerIdentity, SessionKeys] | None = None

    def hello(self) -> bytes:
        return self._hello

    def challenged(self, message: bytes) -> bytes:
        """The own proof, for a challenge that is one. Raises HandshakeError; RefusedError if it is a refusal."""
        _reject_refusal(message, self._local, self._wanted)
        _check_version(message, _AnyChallenge, self._local)
        challenge = _decode(message, _Challenge)
        peer = _identify(challenge.hello, self._local)
        for secret in self._local.secrets:
            expected = _mac(secret, "responder", self._hello, challenge.hello)
            if any(hmac.compare_digest(expected, proof) for proof in challenge.proofs):
                if self._wanted is not None and peer.role == "node" and peer.instance != self._wanted:
                    raise WrongInstanceError(self._wanted, peer.instance)
                proof = _mac(secret, "initiator", self._hello, message)
                to_responder, to_initiator = _derive(secret, self._hello, message)
                self._result = (peer, SessionKeys(send=to_responder, receive=to_initiator))
                return _encoder.encode(_Answer(proof))
        raise _error("wrong_secret", self._local)

    @property
    def peer(self) -> PeerIdentity:
        return _finished(self._result)[0]

    @property
    def keys(self) -> SessionKeys:
        return _finished(self._result)[1]


class Responder:
    """The side that is asked: challenge() with the hello, its result goes out; accept() with the proof. For one use."""

    def __init__(self, local: Identity, nonce: bytes) -> None:
        self._local = local
        self._own_hello = _hello(local, nonce)
        self._hello = b""
        self._challenge = b""
        self._claimed: PeerIdentity | None = None
        self._result: tuple[PeerIdentity, SessionKeys] | None = None

    def challenge(self, hello: bytes) -> bytes:
        """The challenge for this hello. Raises HandshakeError."""
        if self._hello:
            raise RuntimeError("a responder is for one handshake")
        self._hello = hello
        self._claimed = _identify(hello, self._local)
        proofs = tuple(_mac(secret, "responder", hello, self._own_hello) for secret in self._local.secrets)
        self._challenge = _encoder.encode(_Challenge(self._local.version, self._own_hello, proofs))
        return self._challenge

    def accept(self, proof: bytes) -> None:
        """Returns when the other side has proved itself; raises HandshakeError; RefusedError if it is a refusal."""
        claimed, self._claimed = self._claimed, None
        if claimed is None:
            raise RuntimeError("accept() follows challenge(), once")
        _reject_refusal(proof, self._local, claimed.instance)
        given = _decode(proof, _Answer).proof
        for secret in self._local.secrets:
            if hmac.compare_digest(_mac(secret, "initiator", self._hello, self._challenge), given):
                to_responder, to_initiator = _derive(secret, self._hello, self._challenge)
                self._result = (claimed, SessionKeys(send=to_initiator, receive=to_responder))
                return
        raise _error("wrong_secret", self._local)

    @property
    def peer(self) -> PeerIdentity:
        return _finished(self._result)[0]

    @property
    def keys(self) -> SessionKeys:
        return _finished(self._result)[1]


class Sealer:
    """Encrypts each payload with AES-256-GCM (NIST SP 800-38D): counter, ciphertext, tag; the context is under the tag.

    The counter is the nonce (8.2.1 there), so a key is for one Sealer, once: each handshake derives new ones.
    """

    def __init__(self, key: bytes) -> None:
        """`key`: 32 bytes."""
        self._cipher = AESGCM(key)
        self._counter = 0

    @property
    def counter(self) -> int:
        """Of the last message; 0: there was none."""
        return self._counter

    def seal(self, payload: bytes, context: bytes = b"") -> bytes:
        self._counter += 1
        nonce = self._counter.to_bytes(_NONCE_BYTES, "big")
        return nonce[-_COUNTER_BYTES:] + self._cipher.encrypt(nonce, payload, context)


class Opener:
    """Undoes Sealer.seal for the same key and context; each counter is accepted once and only if it grows.

    `contiguous`: the carrier keeps order and loses nothing, so a missing counter is refused as well.
    """

    def __init__(self, key: bytes, *, contiguous: bool = False) -> None:
        self._cipher = AESGCM(key)
        self._last = 0
        self._contiguous = contiguous

    @property
    def counter(self) -> int:
        """Of the last message that was opened; 0: there was none."""
        return self._last

    def open(self, sealed: bytes, context: bytes = b"") -> bytes:
        """The payload. Raises HandshakeError: bad_mac (forged, changed or cut), replayed, out_of_order."""
        if len(sealed) < SEAL_BYTES:
            raise HandshakeError("bad_mac", "A sealed message was cut short on its way: look for what changes it.")
        view = memoryview(sealed)
        try:
            payload = self._cipher.decrypt(_NONCE_HEAD + sealed[:_COUNTER_BYTES], view[_COUNTER_BYTES:], context)
        except InvalidTag:
            raise HandshakeError("bad_mac", "A sealed message was changed on its way: look for what does.") from None
        number = int.from_bytes(view[:_COUNTER_BYTES], "big")
        if number <= self._last:
            raise HandshakeError("replayed", "A sealed message came twice or out of order: look for what repeats it.")
        if self._contiguous and number != self._last + 1:
            raise HandshakeError("out_of_order", "A sealed message is missing before this: look for what drops it.")
        self._last = number
        return payload


def _hello(local: Identity, nonce: bytes) -> bytes:
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"a nonce has {NONCE_BYTES} bytes")
    if not 1 <= len(local.secrets) <= MAX_SECRETS:
        raise ValueError(f"an identity has 1 to {MAX_SECRETS} secrets")
    instance = local.instance
    return _encoder.encode(
        _Hello(local.version, local.cluster, local.role, instance.node_id, instance.incarnation, nonce)
    )


def _identify(hello: bytes, local: Identity) -> PeerIdentity:
    """Who the sender of a hello claims to be, if that is somebody to talk to at all."""
    _check_version(hello, _AnyHello, local)
    theirs = _decode(hello, _Hello)
    if theirs.cluster != local.cluster:
        raise _error("wrong_cluster", local)
    peer = PeerIdentity(theirs.role, Instance(theirs.node_id, theirs.incarnation))
    if peer == PeerIdentity(local.role, local.instance):
        raise _error("self_connection", local)
    return peer


def _check_version(message: bytes, kind: type[_AnyHello] | type[_AnyChallenge], local: Identity) -> None:
    try:
        version = msgspec.msgpack.decode(message[:MAX_MESSAGE_BYTES], type=kind).version
    except _UNDECODABLE as error:
        raise _error("malformed", local) from error
    if version != local.version:
        raise _error("wrong_version", local, theirs=version)


def _decode(message: bytes, kind: type[_S]) -> _S:
    if len(message) > MAX_MESSAGE_BYTES:
        raise HandshakeError("malformed", _SENTENCES["malformed"])
    try:
        return msgspec.msgpack.decode(message, type=kind)
    except _UNDECODABLE as error:
        raise HandshakeError("malformed", _SENTENCES["malformed"]) from error


def _reject_refusal(message: bytes, local: Identity, there: Instance | None) -> None:
    """`there`: who the other side is, as far as that is known."""
    try:
        refused = msgspec.msgpack.decode(message[:MAX_MESSAGE_BYTES], type=_Refusal)
    except _UNDECODABLE:
        return
    node = refused.wanted or (there.node_id if there is not None else "")
    sentence = _sentence(refused.code, local, theirs=refused.version, there=str(there), wanted=node)
    raise RefusedError(refused.code, f"Refused by the other side. {sentence}")


def _error(code: str, local: Identity, theirs: int = 0) -> HandshakeError:
    return HandshakeError(code, _sentence(code, local, theirs=theirs))


def _sentence(code: str, local: Identity, *, theirs: int, there: str = "", wanted: str = "") -> str:
    sentence = _SENTENCES.get(code, "The other side gave no reason that this release knows: see its log.")
    node = f"node {wanted}" if wanted else "the node that it looked for"
    return sentence.format(theirs=theirs, ours=local.version, here=local.instance, there=there, wanted=node)


def _mac(secret: str, label: str, *parts: bytes) -> bytes:
    """HMAC over the label and the digest of each part, so that no byte can move from one part to the next."""
    message = label.encode() + b"\0" + b"".join(hashlib.sha256(part).digest() for part in parts)
    return hmac.digest(secret.encode(), message, "sha256")


def _derive(secret: str, hello: bytes, challenge: bytes) -> tuple[bytes, bytes]:
    """The keys towards the responder and towards the initiator."""
    return _mac(secret, "key to responder", hello, challenge), _mac(secret, "key to initiator", hello, challenge)


def _finished(result: tuple[PeerIdentity, SessionKeys] | None) -> tuple[PeerIdentity, SessionKeys]:
    if result is None:
        raise RuntimeError("the handshake is not finished")
    return result
