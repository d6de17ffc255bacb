"""TLS to Pleo: what its certificates are checked against, and the sentence for one that does not pass.

Nothing turns the check off. A CA of one's own is named by SSL_CERT_FILE or SSL_CERT_DIR, as for most programs.
"""

from __future__ import annotations

import os
import ssl
from urllib.parse import urlsplit

import httpx

from pleo_connector.errors import CertificateRefused

# OpenSSL's numbers (x509_vfy.h); Python has no names for them.
_NOT_YET_VALID, _EXPIRED = 9, 10
_OTHER_NAME = (62, 64)  # host, IP address


def checking(url: str) -> ssl.SSLContext:
    """What httpx takes as `verify` for requests to `url`; CertificateRefused when the CA bundle cannot be read."""
    if urlsplit(url).scheme != "https":
        # Plain http is for loopback only (settings see to that): spares the CA bundle, and trusts nobody.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        return httpx.create_ssl_context(trust_env=True)
    except OSError as error:  # ssl.SSLError is one
        told = "no certificates in it" if isinstance(error, ssl.SSLError) else error.strerror
        raise CertificateRefused(
            f"The CA certificates of {_bundle()} cannot be read ({told}), so nothing was sent to {_host(url)}; "
            "let SSL_CERT_FILE name a PEM file of CA certificates, or unset it."
        ) from None


def certificate_refused(error: httpx.HTTPError, url: str) -> CertificateRefused | None:
    """The error to raise when a request to `url` failed over the server's certificate; None for any other failure."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return None
    if cause.verify_code in (_EXPIRED, _NOT_YET_VALID):
        what = "has expired" if cause.verify_code == _EXPIRED else "is not valid yet"
        advice = "set this machine's clock if it is wrong, else whoever runs that host must renew the certificate"
    elif cause.verify_code in _OTHER_NAME:
        what = "is for another name"
        advice = "check PLEO_API_URL, PLEO_AUTH_URL and the network: this is not the host that was meant"
    else:
        what = f"is signed by nobody in {_bundle()} ({cause.verify_message})"
        advice = "where a proxy of your company opens TLS, let SSL_CERT_FILE name a PEM file with its CA certificate"
    return CertificateRefused(f"The certificate of {_host(url)} {what}, so nothing was sent to it; {advice}.")


def _host(url: str) -> str:
    return httpx.URL(url).netloc.decode()


def _bundle() -> str:
    """Where the trusted certificates come from; httpx takes the first of the two variables that is set."""
    given = (f"{name}={value}" for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if (value := os.environ.get(name)))
    return next(given, "the public list")
