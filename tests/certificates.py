"""TLS certificates for tests: self-signed ones, and ones that an authority of the test has signed. All in PEM, keys first."""

from __future__ import annotations

import datetime as dt
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = dt.timedelta(days=1)


class Authority:
    """Signs certificates; `certificate` is its own, for a CA bundle."""

    def __init__(self, name: str = "Authority of the tests") -> None:
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = _made(name, self._key, name, self._key, valid_from=-_DAY, valid_for=2 * _DAY)

    def sign(self, host: str, *, valid_from: dt.timedelta = -_DAY, valid_for: dt.timedelta = 2 * _DAY) -> bytes:
        """A key and its certificate for a host name or an IP address; `valid_from` counts from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        return _private(key) + _made(host, key, self._name, self._key, valid_from=valid_from, valid_for=valid_for)


def self_signed(host: str) -> bytes:
    """A key and a certificate that only itself vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    return _private(key) + _made(host, key, host, key, valid_from=-_DAY, valid_for=2 * _DAY)


def _made(
    host: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    signed_with: ec.EllipticCurvePrivateKey,
    *,
    valid_from: dt.timedelta,
    valid_for: dt.timedelta,
) -> bytes:
    begins = dt.datetime.now(dt.UTC) + valid_from
    made = (
        x509.CertificateBuilder()
        .subject_name(_named(host))
        .issuer_name(_named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + valid_for)
        .add_extension(x509.SubjectAlternativeName([_general(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=key is signed_with, path_length=None), critical=True)
        .sign(signed_with, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host.replace(" ", "-"))


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
