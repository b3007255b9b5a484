"""Connection and subscription tokens: JWTs (RFC 7519) signed by the user's backend.

Claims: `sub` user id (missing or empty: anonymous), `exp` and `nbf` (unix seconds), `info` (JSON that other clients
see), `iss` and `aud` (checked when set here), and `channel`, which makes the difference between the two kinds. Others
are ignored. Each key verifies one algorithm only: HS256 secrets, RS256 with RSA keys, ES256 with keys on P-256; `none`
and every other algorithm are refused, whatever the token's header says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWS
from jwt.algorithms import Algorithm, ECAlgorithm, HMACAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from wsplatform.errors import CommandError, PlatformError, SettingsError
from wsplatform.wire.payload import check_payload

MAX_BYTES = 16_384
"""The longest token that is looked at."""

CLOCK_SKEW = 60.0
"""Seconds that the clock of who signed may be ahead, for `nbf`. `exp` gets none: the session's own grace covers it."""

_MIN_RSA_BITS = 2048
_KEY_EXPECTED = "PEM text of a public key: RSA of 2048 bits or more, or EC on the curve P-256"


class InvalidToken(PlatformError):
    """The token proves nothing. `message` says why and is for logs; a client learns only that it is invalid."""

    def __init__(self, why: str) -> None:
        super().__init__("invalid_token", f"The token {why}.")


class ExpiredToken(PlatformError):
    """The token was valid once: its signature and claims are, its time is over."""

    def __init__(self) -> None:
        super().__init__("token_expired", "The token has expired.")


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says.

    user: "" is anonymous. expires_at: unix seconds; None: never. info: JSON on one line. channel: "" in a connection
    token.
    """

    user: str
    expires_at: float | None = None
    info: msgspec.Raw | None = None
    channel: str = ""


class _Payload(msgspec.Struct, omit_defaults=True):
    sub: str = ""
    exp: float | None = None
    nbf: float | None = None
    info: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # Raw | None would decode nothing but null
    channel: str = ""
    iss: str = ""
    aud: str | list[str] = ""


_decode = msgspec.json.Decoder(_Payload).decode


class TokenVerifier:
    """Verifies tokens of both kinds. Any of the keys may have signed, so that keys can be rotated.

    Raises:
        SettingsError: a key cannot be used.
    """

    def __init__(
        self, hmac_secrets: Iterable[str], public_keys: Iterable[str], *, issuer: str = "", audience: str = ""
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        keys: dict[str, list[Any]] = {"HS256": [_secret(text) for text in hmac_secrets], "RS256": [], "ES256": []}
        for text in public_keys:
            name, key = _public_key(text)
            keys[name].append(key)
        self._algorithms = [name for name, of_kind in keys.items() if of_kind]
        self._jws = PyJWS(algorithms=[])
        for name in self._algorithms:
            self._jws.register_algorithm(name, _AnyKey(_BASE[name], keys[name]))

    def connection(self, token: str, now: float) -> Claims:
        """Raises InvalidToken or ExpiredToken. `now`: unix seconds."""
        claims = self._verify(token, now)
        if claims.channel:
            raise InvalidToken("is a subscription token (it has a channel), not a connection token")
        return claims

    def subscription(self, token: str, now: float) -> Claims:
        """Raises InvalidToken or ExpiredToken. Whether user and channel are the right ones is the caller's to check."""
        claims = self._verify(token, now)
        if not claims.channel:
            raise InvalidToken("is not a subscription token: the claim channel is missing")
        return claims

    def _verify(self, token: str, now: float) -> Claims:
        if len(token) > MAX_BYTES or not token.isascii():
            raise InvalidToken(f"is longer than {MAX_BYTES} bytes or not ASCII")
        if not self._algorithms:
            raise InvalidToken("cannot be verified: no key is set in client.token_hmac_secrets or token_public_keys")
        try:
            text = self._jws.decode(token, "", algorithms=self._algorithms).decode()
            payload = _decode(text)
            info = _one_line(payload.info)
        except PyJWTError as error:
            raise InvalidToken(f"cannot be verified ({type(error).__name__})") from None
        except msgspec.ValidationError as error:
            raise InvalidToken(f"has a claim of the wrong type: {error}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidToken(f"has claims that are not JSON ({type(error).__name__})") from None
        except CommandError as error:
            raise InvalidToken(f"has an info that not every client could read: {error.message}") from None
        self._check(payload, now)
        return Claims(payload.sub, payload.exp, info, payload.channel)

    def _check(self, payload: _Payload, now: float) -> None:
        if self._issuer and payload.iss != self._issuer:
            raise InvalidToken("is from another issuer than client.token_issuer")
        audience = [payload.aud] if isinstance(payload.aud, str) else payload.aud
        if self._audience and self._audience not in audience:
            raise InvalidToken("is for another audience than client.token_audience")
        if payload.nbf is not None and payload.nbf > now + CLOCK_SKEW:
            raise InvalidToken("is not valid yet")
        if payload.exp is not None and payload.exp <= now:
            raise ExpiredToken


def sign(claims: Claims, secret: str, *, issuer: str = "", audience: str = "") -> str:
    """A token of either kind, signed with HS256, for tests and the command line. `secret`: 32 bytes or more."""
    payload = _Payload(
        sub=claims.user,
        exp=int(claims.expires_at) if claims.expires_at is not None else None,
        info=claims.info if claims.info is not None else msgspec.UNSET,
        channel=claims.channel,
        iss=issuer,
        aud=audience,
    )
    return PyJWS().encode(msgspec.json.encode(payload), secret.encode(), algorithm="HS256")


class _AnyKey(Algorithm):
    """One algorithm with its keys in it, prepared once: whatever key the caller names, these are tried."""

    def __init__(self, base: Algorithm, keys: Iterable[Any]) -> None:
        self._base = base
        self._keys = tuple(base.prepare_key(key) for key in keys)

    def prepare_key(self, key: Any) -> Any:
        return self._keys

    def verify(self, msg: bytes, key: Any, sig: bytes) -> bool:
        return any(self._base.verify(msg, one, sig) for one in key)

    def sign(self, msg: bytes, key: Any) -> bytes:
        raise NotImplementedError(_ONLY_VERIFIES)

    @staticmethod
    def to_jwk(key_obj: Any, as_dict: bool = False) -> Any:
        raise NotImplementedError(_ONLY_VERIFIES)

    @staticmethod
    def from_jwk(jwk: Any) -> Any:
        raise NotImplementedError(_ONLY_VERIFIES)


_ONLY_VERIFIES = "these keys verify, and do nothing else"
_BASE: Mapping[str, Algorithm] = {
    "HS256": HMACAlgorithm(HMACAlgorithm.SHA256),
    "RS256": RSAAlgorithm(RSAAlgorithm.SHA256),
    "ES256": ECAlgorithm(ECAlgorithm.SHA256, SECP256R1),
}


def _secret(text: str) -> bytes:
    try:
        return _BASE["HS256"].prepare_key(text)  # type: ignore[no-any-return]
    except PyJWTError as error:
        raise SettingsError("client.token_hmac_secrets", "********", f"random text: {error}") from None


def _public_key(text: str) -> tuple[str, RSAPublicKey | EllipticCurvePublicKey]:
    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, RSAPublicKey) and key.key_size >= _MIN_RSA_BITS:
        return "RS256", key
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return "ES256", key
    shown = " ".join(text.split())[:40]
    raise SettingsError("client.token_public_keys", repr(shown), _KEY_EXPECTED)


def _one_line(info: msgspec.Raw | msgspec.UnsetType) -> msgspec.Raw | None:
    """As it goes to clients, whose messages are separated by line breaks; None for none. Raises CommandError."""
    if info is msgspec.UNSET or bytes(info) == b"null":
        return None
    check_payload(bytes(info))
    return msgspec.Raw(msgspec.json.format(bytes(info), indent=-1))
