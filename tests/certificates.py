"""Certificates that a test makes for itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HERE = ("localhost", "127.0.0.1", "::1")
_DAY = timedelta(days=1)


class Issued(NamedTuple):
    """A certificate and its key, as files."""

    cert: Path
    key: Path


class Authority:
    """A CA.

    Attributes:
        ca: its own certificate, as a file.
    """

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        certificate = (
            _builder(subject, subject, self._key, -_DAY, _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.ca = folder / f"{name}.pem"
        self.ca.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, hosts: Sequence[str] = HERE, *, days: tuple[float, float] = (-1, 1)) -> Issued:
        """Writes a certificate for some hosts, that holds from and to so many days from now, in files of its name."""
        issued = Issued(self._folder / f"{self._name}-{name}.pem", self._folder / f"{self._name}-{name}.key")
        self.issue_to(issued, name, hosts, days=days)
        return issued

    def issue_to(
        self, issued: Issued, name: str, hosts: Sequence[str] = HERE, *, days: tuple[float, float] = (-1, 1)
    ) -> None:
        """As `issue`, in place of what the files hold."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName([_general(host) for host in hosts])
        start, end = (timedelta(days=count) for count in days)
        certificate = (
            _builder(_name(name), _name(self._name), key, start, end)
            .add_extension(alternatives, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        issued.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        issued.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def encrypted(key: Path, path: Path) -> Path:
    """A key, with a password, in another file."""
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    path.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    return path


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, start: timedelta, end: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + start)
        .not_valid_after(now + end)
    )


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
