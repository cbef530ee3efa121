# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: a lab's certificate authorities, and the certificates they issue to its hosts.

Runs on the controller, on the package cryptography, which ansible-core itself needs. Extensions follow RFC 5280, in
the strict reading of Python 3.13 and newer: key identifiers everywhere, critical constraints and key usage.
"""

from __future__ import annotations

import ipaddress
import re
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .errors import InputError
from .secret_folder import SecretFolder, path_part

AUTHORITY_LIFE = timedelta(days=3650)
#: Hosts whose clock is behind accept a certificate made just now.
CLOCK_SKEW = timedelta(hours=1)
_NAME = re.compile(r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


@dataclass(frozen=True)
class Wanted:
    """The certificate ``name`` of a host, for these names and addresses.

    Of the ``authorities``, which are numbers, the first issues; all are trusted. A certificate is valid for ``valid``
    and issued anew once no more than ``renew`` of that is left.
    """

    host: str
    name: str
    names: tuple[str, ...]
    authorities: tuple[int, ...] = (1,)
    valid: timedelta = timedelta(days=365)
    renew: timedelta = timedelta(days=30)

    def __post_init__(self) -> None:
        if not self.names:
            raise InputError(f"certificate {self.name} of {self.host} has no name", hint="give at least one")
        for name in self.names:
            _general_name(name)
        if not self.authorities or min(self.authorities) < 1 or len(set(self.authorities)) < len(self.authorities):
            raise InputError(
                f"authorities are different numbers from 1, not {list(self.authorities)}",
                hint="[1] at first; [1, 2], [2, 1] and [2], one after the other, to rotate",
            )
        if not timedelta() <= self.renew < self.valid:
            raise InputError("a certificate must be valid for longer than it is renewed before its end")

    @property
    def path(self) -> str:
        """Name of key and certificate in the secrets folder, without the ending."""
        return f"pki/{path_part(self.host)}/{path_part(self.name)}"


@dataclass(frozen=True)
class Issued:
    """What a host gets: PEM texts, and its key's name in the secrets folder; "" for what a dry run finds missing."""

    certificate: str
    authorities: tuple[str, ...]
    key: str
    #: Why the certificate was issued, or would be; "" where the one that exists is good.
    reason: str
    #: When it ends; None where a dry run finds none that is good.
    ends: datetime | None


@dataclass(frozen=True)
class _Authority:
    number: int
    certificate: x509.Certificate
    pem: str
    key: ec.EllipticCurvePrivateKey | None


def issue(folder: SecretFolder, wanted: Wanted, *, dry: bool = False, now: datetime | None = None) -> Issued:
    """Make what is missing or due of the authorities, the host's key and its certificate; with ``dry`` write nothing.

    A key that exists is never replaced. Safe among processes. InputError for a file that is not what it should be, an
    authority about to end, and one that must sign but has no key.
    """
    at = (now or datetime.now(UTC)).replace(microsecond=0)
    with nullcontext() if dry else folder.lock():
        authorities = [_authority(folder, number, at, dry) for number in wanted.authorities]
        issuer = authorities[0]
        if issuer and issuer.certificate.not_valid_after_utc - at <= wanted.renew:
            raise InputError(
                f"authority {issuer.number} of the lab ends on {issuer.certificate.not_valid_after_utc:%Y-%m-%d}",
                hint="rotate to a new one: see docs/how-to/secrets-and-certificates.md",
            )
        key = _key(folder, f"{wanted.path}.key", dry)
        pem = folder.read(f"{wanted.path}.crt")
        found = _certificate(pem, folder, f"{wanted.path}.crt") if pem else None
        reason = _due(found, key, issuer, wanted, at)
        if reason and not dry:
            assert issuer is not None and key is not None  # noqa: S101 - only a dry run goes without
            found = _signed(wanted, key, issuer, at, folder)
            pem = _pem(found)
            folder.write(f"{wanted.path}.crt", pem, 0o644)
    good = found if found is not None and not (reason and dry) else None
    return Issued(
        certificate=f"{(pem or '').rstrip()}\n" if good else "",
        authorities=tuple(authority.pem if authority else "" for authority in authorities),
        key=f"{wanted.path}.key" if key else "",
        reason=reason,
        ends=good.not_valid_after_utc if good else None,
    )


def _due(
    found: x509.Certificate | None,
    key: ec.EllipticCurvePrivateKey | None,
    issuer: _Authority | None,
    wanted: Wanted,
    now: datetime,
) -> str:
    """Why a certificate must be issued, "" where it need not."""
    if found is None:
        return "there was none"
    if key is None or found.public_key() != key.public_key():
        return "it was for another key"
    if issuer is None or not _signed_by(found, issuer.certificate):
        return f"authority {wanted.authorities[0]} is to sign it"
    before, after = _names_of(found), {str(name.value) for name in map(_general_name, wanted.names)}
    if before != after:
        return f"its names were {', '.join(sorted(before))}"
    if found.not_valid_after_utc - now <= wanted.renew:
        return f"it ended on {found.not_valid_after_utc:%Y-%m-%d}"
    return ""


def _signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _names_of(certificate: x509.Certificate) -> set[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is neither a host name nor an address", hint="certificates are for those")
    return x509.DNSName(name)


def _authority(folder: SecretFolder, number: int, now: datetime, dry: bool) -> _Authority | None:
    """The authority of this number, made where there is none; None where a dry run finds none."""
    name = f"pki/ca-{number}"
    if pem := folder.read(f"{name}.crt"):
        certificate = _certificate(pem, folder, f"{name}.crt")
        text = folder.read(f"{name}.key")
        return _Authority(number, certificate, f"{pem}\n", _loaded_key(text, folder, f"{name}.key") if text else None)
    key = _key(folder, f"{name}.key", dry)
    if key is None or dry:
        return None
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    # A subject of its own for each key, so that a verifier that trusts several never tries the wrong one.
    common_name = f"labctl CA {number} {identifier.digest.hex()[:8]}"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        _builder(subject, subject, key, now, now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
    )
    certificate = builder.sign(key, hashes.SHA256())
    folder.write(f"{name}.crt", _pem(certificate), 0o644)
    return _Authority(number, certificate, _pem(certificate), key)


def _signed(
    wanted: Wanted, key: ec.EllipticCurvePrivateKey, issuer: _Authority, now: datetime, folder: SecretFolder
) -> x509.Certificate:
    if issuer.key is None:
        raise InputError(
            f"authority {issuer.number} must sign, but there is no {folder.path}/pki/ca-{issuer.number}.key",
            hint="put the key back, or rotate to a new authority: see docs/how-to/secrets-and-certificates.md",
        )
    # 64 characters are the limit of a common name; verifiers look at the alternative names alone.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, wanted.host[:64])])
    ends = min(now + wanted.valid, issuer.certificate.not_valid_after_utc)
    names = sorted(set(wanted.names))
    builder = (
        _builder(subject, issuer.certificate.subject, key, now, ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage("digital_signature"), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()),
            critical=False,
        )
    )
    return builder.sign(issuer.key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, ends: datetime
) -> x509.CertificateBuilder:
    """What every certificate has."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*allowed: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{usage: usage in allowed for usage in _USAGES})


def _key(folder: SecretFolder, name: str, dry: bool) -> ec.EllipticCurvePrivateKey | None:
    """The private key in this file, made where there is none; None where a dry run finds none."""
    text = folder.read(name)
    if text is not None:
        return _loaded_key(text, folder, name)
    if dry:
        return None
    key = ec.generate_private_key(ec.SECP256R1())
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    folder.write(name, encoded.decode())
    return key


def _loaded_key(text: str, folder: SecretFolder, name: str) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InputError(f"{folder.path / name} is not a private key of ours", hint="put back what it held")
    return key


def _certificate(pem: str, folder: SecretFolder, name: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError as exc:
        raise InputError(
            f"{folder.path / name} is not a certificate", hint="put back what it held, or remove it"
        ) from exc


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
