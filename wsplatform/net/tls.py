"""TLS between the processes of a cluster: contexts that follow their files, and errors that say what to do."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from loguru import logger

from wsplatform.core.throttle import Throttle
from wsplatform.errors import PlatformError, StartError

_LOG_SECONDS: Final = 10.0

_EXPIRED: Final = "The certificate of the other side has expired: renew it there."
_NAME: Final = (
    "The certificate of the other side is for another name: put one that it has into cluster.url or registry.url."
)
_UNTRUSTED: Final = "The certificate of the other side is from nobody who is trusted here: see cluster.tls_ca."
_NO_TLS: Final = (
    "The other side does not speak TLS: a node face with cluster.tls_certificate is reached at wss:// and https://,"
    " one without at ws:// and http://."
)
_REFUSED: Final = "The other side does not accept this one's certificate: its log says why; see cluster.tls_ca there."

_FINDINGS: Final = {
    # X509_V_ERR_…, see X509_STORE_CTX_get_error(3)
    7: ("certificate_untrusted", _UNTRUSTED),  # another authority of the same name
    9: ("certificate_not_yet_valid", "The certificate of the other side is not valid yet: look at both clocks."),
    10: ("certificate_expired", _EXPIRED),
    18: ("certificate_untrusted", _UNTRUSTED),
    19: ("certificate_untrusted", _UNTRUSTED),
    20: ("certificate_untrusted", _UNTRUSTED),
    21: ("certificate_untrusted", _UNTRUSTED),
    26: (
        "certificate_purpose",
        "The certificate of the other side is not for this use: issue one for servers and clients.",
    ),
    62: ("certificate_name", _NAME),
    64: ("certificate_name", _NAME),
}
_REASONS: Final = {
    "HTTP_REQUEST": ("no_tls", _NO_TLS),
    "WRONG_VERSION_NUMBER": ("no_tls", _NO_TLS),
    "RECORD_LAYER_FAILURE": ("no_tls", _NO_TLS),
    "PACKET_LENGTH_TOO_LONG": ("no_tls", _NO_TLS),
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": (
        "certificate_missing",
        "The other side shows no certificate: set cluster.tls_certificate there.",
    ),
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": (
        "certificate_wanted",
        "The other side wants a certificate of this one: set cluster.tls_certificate.",
    ),
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": (
        "certificate_expired",
        "The other side says that the certificate of this one has expired: renew it.",
    ),
    "SSLV3_ALERT_BAD_CERTIFICATE": ("certificate_refused", _REFUSED),
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": ("certificate_refused", _REFUSED),
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": ("certificate_refused", _REFUSED),
    "TLSV1_ALERT_UNKNOWN_CA": ("certificate_refused", _REFUSED),
}


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files; empty: none. `key` may be in the file of `certificate`. authorities: trusted instead of the system's.

    With a certificate, a listener is TLS. With authorities as well, it wants a certificate of theirs of whoever comes.
    """

    certificate: str = ""
    key: str = ""
    authorities: str = ""


class Tls:
    """The contexts of one process. Each new connection is made from the files as they are then.

    Files that cannot be used any more are told in the log, and the earlier ones stay in use.
    """

    def __init__(self, files: TlsFiles) -> None:
        """Raises StartError: tls_file_unreadable, tls_file_invalid, tls_key_mismatch, certificate_expired."""
        connecting = _Source(files, _connecting)
        listening = _Source(files, _listening)
        if files != TlsFiles():
            connecting.context()
        if files.certificate:
            listening.context()
        self.connecting: ssl.SSLContext = _following(ssl.PROTOCOL_TLS_CLIENT, connecting)
        self.listening: ssl.SSLContext | None = (
            _following(ssl.PROTOCOL_TLS_SERVER, listening) if files.certificate else None
        )


def explain(error: BaseException) -> PlatformError | None:
    """What to do about a failure of TLS; None where `error`, and what caused it, is something else."""
    cause: ssl.SSLError | None = None
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):  # aiohttp's are too, but only the first one knows the details
            cause = seen
        seen = seen.__cause__ or seen.__context__
    if cause is None:
        return None
    if isinstance(cause, ssl.SSLCertVerificationError):
        unknown = ("certificate_invalid", f"The certificate of the other side is not valid: {cause.verify_message}.")
        return PlatformError(*_FINDINGS.get(cause.verify_code, unknown))
    reason = cause.reason or "the connection was lost"
    return PlatformError(*_REASONS.get(reason, ("tls_failed", f"TLS could not be set up ({reason.lower()}).")))


class _Source:
    """Keeps a context in step with its files."""

    def __init__(self, files: TlsFiles, build: Callable[[TlsFiles], ssl.SSLContext]) -> None:
        self._files = files
        self._build = build
        self._seen: object = None
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """The newest that can be used. Raises StartError when there has been none."""
        seen = _stamps(self._files)
        if self._context is None:
            self._context = self._build(self._files)
        elif seen != self._seen:
            try:
                self._context = self._build(self._files)
            except StartError as error:
                logger.warning("The files of cluster.tls_… have changed, the earlier ones stay in use: {}", error)
            else:
                logger.info("The files of cluster.tls_… have changed, new connections use them")
        self._seen = seen
        return self._context


class _Following(ssl.SSLContext):
    """Stands for the newest context of `source`: event loops begin each connection with wrap_bio."""

    source: _Source

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        return self.source.context().wrap_bio(*arguments, **named)


def _following(kind: int, source: _Source) -> _Following:
    context = _Following(kind)
    context.source = source
    return context


class _Listening(ssl.SSLContext):
    """A listener's. Event loops tell nobody of a handshake that fails: the log is told here, and the other side."""

    throttle: Throttle

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *others: Any, **named: Any) -> ssl.SSLObject:
        handshake = super().wrap_bio(incoming, outgoing, *others, **named)
        assert isinstance(handshake, _Handshake)
        handshake.outgoing = outgoing
        return handshake

    def tell(self, failure: ssl.SSLError) -> None:
        error = explain(failure)
        assert error is not None
        held = self.throttle.allow(error.code, time.monotonic())
        if held is not None:
            more = f" ({held} more like this)" if held else ""
            logger.warning("A TLS handshake on the node face failed: {}{}", error, more)


class _Handshake(ssl.SSLObject):
    """A listener's connection."""

    outgoing: ssl.MemoryBIO
    failed = False

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as failure:
            if self.failed:
                raise
            self.failed = True
            context = self.context
            assert isinstance(context, _Listening)
            context.tell(failure)
            if not self.outgoing.pending:
                raise
            # An event loop that sees an error throws away what waits to be sent: the alert that says what was wrong.
            # So it sees none yet. The other side will hang up then, or the handshake take too long.
            raise ssl.SSLWantReadError from failure


def _listening(files: TlsFiles) -> ssl.SSLContext:
    context = _Listening(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = _Handshake
    context.throttle = Throttle(_LOG_SECONDS)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    _load_certificate(context, files)
    if files.authorities:
        _load_authorities(context, files.authorities)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _connecting(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificates and their names
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if files.authorities:
        _load_authorities(context, files.authorities)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if files.certificate:
        _load_certificate(context, files)
    return context


def _load_certificate(context: ssl.SSLContext, files: TlsFiles) -> None:
    certificate = _read("cluster.tls_certificate", files.certificate)
    key = files.key or files.certificate
    _read("cluster.tls_key", key)
    try:
        first = x509.load_pem_x509_certificates(certificate)[0]
    except ValueError as error:
        raise _invalid("cluster.tls_certificate", files.certificate, "a certificate") from error
    try:
        context.load_cert_chain(files.certificate, key, password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise StartError("tls_key_mismatch", f"The key in {key} is not that of {files.certificate}.") from error
        raise _invalid("cluster.tls_key", key, "a private key without a password") from error
    _check_expiry(first, files.certificate)


def _check_expiry(certificate: x509.Certificate, path: str) -> None:
    if certificate.not_valid_after_utc <= datetime.now(UTC):
        raise StartError("certificate_expired", f"The certificate in {path} has expired: renew it.")


def _load_authorities(context: ssl.SSLContext, path: str) -> None:
    _read("cluster.tls_ca", path)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise _invalid("cluster.tls_ca", path, "certificates") from error


def _read(key: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise StartError(
            "tls_file_unreadable", f"Setting {key}: {path} cannot be read ({error.strerror}): give a file that can."
        ) from error


def _invalid(key: str, path: str, wanted: str) -> StartError:
    return StartError("tls_file_invalid", f"Setting {key}: {path} does not hold {wanted} in PEM format.")


def _no_password() -> str:
    """Or OpenSSL would ask for one at the terminal."""
    return ""


def _stamps(files: TlsFiles) -> tuple[object, ...]:
    """What changes when a file does."""
    return tuple(_stamp(Path(path)) for path in (files.certificate, files.key, files.authorities) if path)


def _stamp(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
