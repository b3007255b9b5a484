import base64
import json
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.tokens import CLOCK_SKEW, Claims, ExpiredToken, InvalidToken, TokenVerifier, sign
from wsplatform.errors import SettingsError

NOW = 1_700_000_000.0
SECRET = "a secret for tests, 32 bytes or more"
OLD = "the secret that was signed with before"
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())


def pem(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


VERIFIER = TokenVerifier([SECRET, OLD], [pem(RSA), pem(EC)])


def made(claims: dict[str, Any], key: Any = SECRET, algorithm: str = "HS256", **headers: Any) -> str:
    return jwt.encode(claims, key, algorithm=algorithm, headers=headers or None)


@pytest.mark.parametrize(("key", "algorithm"), [(SECRET, "HS256"), (OLD, "HS256"), (RSA, "RS256"), (EC, "ES256")])
def test_any_of_the_keys_may_have_signed(key: Any, algorithm: str) -> None:
    claims = VERIFIER.connection(made({"sub": "alice", "exp": NOW + 1, "info": {"name": "A"}}, key, algorithm), NOW)
    assert (claims.user, claims.expires_at, claims.channel) == ("alice", NOW + 1, "")
    assert claims.info is not None
    assert bytes(claims.info) == b'{"name":"A"}'


def test_what_is_signed_here_is_verified_here() -> None:
    claims = Claims("bob", NOW + 10, None, "news")
    token = sign(claims, SECRET, issuer="me", audience="you")
    assert TokenVerifier([SECRET], [], issuer="me", audience="you").subscription(token, NOW) == claims


def test_claims_that_are_missing() -> None:
    assert VERIFIER.connection(made({}), NOW) == Claims("")
    assert VERIFIER.connection(made({"info": None}), NOW).info is None


def test_expired_is_told_from_invalid_and_only_when_the_rest_is_right() -> None:
    with pytest.raises(ExpiredToken):
        VERIFIER.connection(made({"sub": "a", "exp": NOW}), NOW)
    with pytest.raises(InvalidToken):
        VERIFIER.connection(made({"sub": "a", "exp": NOW}, "another secret of at least 32 bytes"), NOW)


def test_a_token_that_is_not_valid_yet() -> None:
    assert VERIFIER.connection(made({"sub": "a", "nbf": NOW + CLOCK_SKEW - 1}), NOW).user == "a"
    with pytest.raises(InvalidToken, match="not valid yet"):
        VERIFIER.connection(made({"sub": "a", "nbf": NOW + CLOCK_SKEW + 1}), NOW)


def test_the_two_kinds_are_not_exchangeable() -> None:
    assert VERIFIER.subscription(made({"sub": "a", "channel": "c"}), NOW).channel == "c"
    with pytest.raises(InvalidToken, match="subscription token"):
        VERIFIER.connection(made({"sub": "a", "channel": "c"}), NOW)
    with pytest.raises(InvalidToken, match="channel is missing"):
        VERIFIER.subscription(made({"sub": "a"}), NOW)


@pytest.mark.parametrize(
    ("claims", "accepted"),
    [
        ({"iss": "app", "aud": "realtime"}, True),
        ({"iss": "app", "aud": ["other", "realtime"]}, True),
        ({"iss": "other", "aud": "realtime"}, False),
        ({"iss": "app", "aud": "other"}, False),
        ({"iss": "app", "aud": []}, False),
        ({}, False),
    ],
)
def test_issuer_and_audience_when_set(claims: dict[str, Any], accepted: bool) -> None:
    verifier = TokenVerifier([SECRET], [], issuer="app", audience="realtime")
    if accepted:
        verifier.connection(made(claims), NOW)
    else:
        with pytest.raises(InvalidToken):
            verifier.connection(made(claims), NOW)


def forged(header: dict[str, Any], payload: bytes = b'{"sub":"root"}', signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), payload, signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "HS384", "PS256", None, ["HS256"], {}, 5])
def test_no_other_algorithm_is_taken(algorithm: Any) -> None:
    for signature in (b"", b"x" * 32):
        with pytest.raises(InvalidToken):
            VERIFIER.connection(forged({"alg": algorithm, "typ": "JWT"}, signature=signature), NOW)


def test_a_public_key_is_never_taken_for_a_secret() -> None:
    """The classic confusion: HS256 with the text of the public key, which everybody knows."""
    import hashlib
    import hmac

    head = forged({"alg": "HS256"}).rsplit(".", 1)[0]
    for text in (pem(RSA), pem(EC)):
        for secret in (text, text.strip()):
            signature = hmac.new(secret.encode(), head.encode(), hashlib.sha256).digest()
            token = head + "." + base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
            with pytest.raises(InvalidToken):
                VERIFIER.connection(token, NOW)


def test_headers_that_ask_for_what_is_not_done() -> None:
    for header in ({"crit": ["exp"], "exp": 1}, {"b64": False, "crit": ["b64"]}, {"kid": 5}):
        with pytest.raises(InvalidToken):
            VERIFIER.connection(forged({"alg": "HS256", **header}), NOW)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{",
        b'{"sub":5}',
        b'{"exp":"soon"}',
        b'{"exp":true}',
        b'{"exp":1e999}',
        b'{"exp":1' + b"0" * 400 + b"}",
        b'{"nbf":-1' + b"0" * 400 + b"}",
        b'{"info":' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"info":' + b"1" * 1001 + b"}",
        b'{"channel":1}',
        b'{"aud":{}}',
        b"[" * 9000,
        b'{"info":' + b"[" * 8000 + b"]" * 8000 + b"}",
        b'{"info":"\xff"}',
        b'{"sub":"\xed\xa0\x80"}',
    ],
)
def test_signed_claims_that_are_not_what_they_should_be(payload: bytes) -> None:
    token = jwt.PyJWS().encode(payload, SECRET, algorithm="HS256")
    with pytest.raises(InvalidToken):
        VERIFIER.connection(token, NOW)


def test_info_is_kept_on_one_line() -> None:
    payload = b'{"sub":"a","info":{"a" :\n"b\\n",\r\n"c":[1,\t2]}}'
    info = VERIFIER.connection(jwt.PyJWS().encode(payload, SECRET, algorithm="HS256"), NOW).info
    assert info is not None
    assert bytes(info) == b'{"a":"b\\n","c":[1,2]}'


def test_a_token_that_is_too_long_is_not_looked_at() -> None:
    with pytest.raises(InvalidToken, match="longer"):
        VERIFIER.connection(made({"sub": "a" * 16_384}), NOW)


def test_without_keys_nothing_is_valid() -> None:
    with pytest.raises(InvalidToken, match="no key is set"):
        TokenVerifier([], []).connection(made({"sub": "a"}), NOW)


def test_messages_hold_nothing_of_the_token() -> None:
    token = made({"sub": "very-private-name", "exp": "no number"}, "another secret of at least 32 bytes")
    for text in (token, made({"sub": ["very-private-name"]})):
        with pytest.raises(InvalidToken) as caught:
            VERIFIER.connection(text, NOW)
        assert "very-private-name" not in str(caught.value)
        assert text[:20] not in str(caught.value)


@given(
    st.one_of(
        st.text(), st.text("abcAZ09-_.=", max_size=80), st.binary().map(lambda raw: forged({"alg": "HS256"}, raw))
    )
)
def test_any_text_is_refused_in_the_same_way(token: str) -> None:
    with pytest.raises(InvalidToken):
        VERIFIER.connection(token, NOW)
    with pytest.raises(InvalidToken):
        VERIFIER.subscription(token, NOW)


@given(st.binary(max_size=80), st.sampled_from(["HS256", "RS256", "ES256"]))
def test_any_signature_is_refused(signature: bytes, algorithm: str) -> None:
    with pytest.raises(InvalidToken):
        VERIFIER.connection(forged({"alg": algorithm}, signature=signature), NOW)


@given(
    user=st.text(max_size=20),
    exp=st.none() | st.integers(1, 2**40),
    info=st.none() | st.dictionaries(st.text(), st.text()),
)
def test_round_trip(user: str, exp: int | None, info: dict[str, str] | None) -> None:
    raw = msgspec.Raw(msgspec.json.encode(info)) if info is not None else None
    claims = VERIFIER.connection(sign(Claims(user, exp, raw), SECRET), 0.0)
    assert (claims.user, claims.expires_at) == (user, exp)
    assert (json.loads(bytes(claims.info)) if claims.info is not None else None) == info


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        pem(ec.generate_private_key(ec.SECP384R1())),
        pem(rsa.generate_private_key(65537, 1024)),
    ],
)
def test_a_public_key_that_cannot_be_used_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(SettingsError, match="token_public_keys"):
        TokenVerifier([], [text])


def test_a_secret_that_is_a_key_of_another_kind_is_refused_without_showing_it() -> None:
    with pytest.raises(SettingsError) as caught:
        TokenVerifier([pem(RSA)], [])
    assert caught.value.key == "client.token_hmac_secrets"
    assert "BEGIN" not in str(caught.value)
