"""Certificates of an authority of one's own. docs/running.md makes such with openssl."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from wsplatform.net.tls import TlsFiles

_USES = {"server": (ExtendedKeyUsageOID.SERVER_AUTH,), "client": (ExtendedKeyUsageOID.CLIENT_AUTH,), "any": ()}


class Authority:
    """Issues certificates into `folder`; its own is `path`."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.path = str(folder / f"{name}.pem")
        builder = self._builder(name, self._key, timedelta(days=1))
        own = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        Path(self.path).write_bytes(_pem(own.sign(self._key, hashes.SHA256())))

    def issue(
        self, name: str, host: str = "127.0.0.1", *, lasts: timedelta = timedelta(days=1), use: str = "any"
    ) -> TlsFiles:
        """The files of a process that trusts this authority, written anew. `lasts`: negative when it has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(host)] if host[0].isalpha() else [x509.IPAddress(ip_address(host))]
        builder = self._builder(name, key, lasts).add_extension(x509.SubjectAlternativeName(names), critical=False)
        if _USES[use]:
            builder = builder.add_extension(x509.ExtendedKeyUsage(_USES[use]), critical=False)
        files = TlsFiles(str(self._folder / f"{name}.pem"), str(self._folder / f"{name}-key.pem"), self.path)
        Path(files.certificate).write_bytes(_pem(builder.sign(self._key, hashes.SHA256())))
        Path(files.key).write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files

    def _builder(self, name: str, key: ec.EllipticCurvePrivateKey, lasts: timedelta) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(self._name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + lasts)
        )


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
