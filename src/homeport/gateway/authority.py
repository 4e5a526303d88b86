"""A certificate authority of our own, for names that no public one signs, and what it signs. Bytes in, bytes out.

It can sign for one domain and what is below it only (name constraints, RFC 5280 4.2.1.10): who trusts it trusts it with
nothing else.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS, LEAF_DAYS = 3650, 397  # browsers refuse certificates of servers that hold longer
RENEWED_BEFORE = timedelta(days=30)
_SLACK = timedelta(days=1)  # clients' clocks that go after ours
_LONGEST_NAME = 64  # characters of a common name


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def dumps(self) -> bytes:
        """Both in one PEM file, so that one can never be without the other."""
        private = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self.public() + private

    def public(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @classmethod
    def loads(cls, content: bytes) -> Pair | None:
        """What `dumps` made; None for anything else: half a file, another key."""
        try:
            certificate = x509.load_pem_x509_certificate(content)
            key = serialization.load_pem_private_key(content, password=None)
        except (ValueError, TypeError):
            return None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            return None
        return cls(certificate, key)

    @property
    def until(self) -> datetime:
        """Until when it holds."""
        return self.certificate.not_valid_after_utc

    @property
    def fingerprint(self) -> str:
        """SHA-256, as browsers show it."""
        return self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    def holds(self, now: datetime) -> bool:
        """Whether it holds now, and for the time within which it would be renewed."""
        return self.certificate.not_valid_before_utc <= now < self.until - RENEWED_BEFORE


def make_authority(domain: str, now: datetime) -> Pair:
    """A new authority that can sign for `domain` and what is below it."""
    key = ec.generate_private_key(ec.SECP256R1())
    # Two authorities of one name would be mistaken for each other, so each has a mark of its own.
    name = f"Homeport {secrets.token_hex(4)} {domain}"[:_LONGEST_NAME]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = _usage(key_cert_sign=True, crl_sign=True)
    constraints = x509.NameConstraints(
        permitted_subtrees=[x509.DNSName(domain)],
        excluded_subtrees=[x509.IPAddress(ip_network("0.0.0.0/0")), x509.IPAddress(ip_network("::/0"))],
    )
    builder = (
        _certificate(subject, subject, key.public_key(), now, now + timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(constraints, critical=True)
        .add_extension(identifier, critical=False)
    )
    return Pair(builder.sign(key, hashes.SHA256()), key)


def make_leaf(authority: Pair, names: Iterable[str], now: datetime) -> Pair:
    """A new certificate for a server that answers to these names."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Homeport gateway")])
    until = min(now + timedelta(days=LEAF_DAYS) - _SLACK, authority.until)
    issuer = authority.certificate
    known = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        _certificate(subject, issuer.subject, key.public_key(), now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known), critical=False)
    )
    return Pair(builder.sign(authority.key, hashes.SHA256()), key)


def signed_by(leaf: Pair, authority: Pair) -> bool:
    """Whether the authority signed it."""
    try:
        leaf.certificate.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def names(leaf: Pair) -> frozenset[str]:
    """The names a certificate is for."""
    try:
        found = leaf.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(found.value.get_values_for_type(x509.DNSName))


def signs_for(authority: Pair) -> frozenset[str]:
    """The domains it can sign for."""
    try:
        found = authority.certificate.extensions.get_extension_for_class(x509.NameConstraints)
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(each.value for each in found.value.permitted_subtrees or () if isinstance(each, x509.DNSName))


def utc_now() -> datetime:
    """Now, to the second, as certificates have it."""
    return datetime.now(UTC).replace(microsecond=0)


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    return builder.serial_number(x509.random_serial_number()).not_valid_before(now - _SLACK).not_valid_after(until)


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
