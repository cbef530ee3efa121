# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signing a bundle's index, and what makes an index trusted. Ed25519, keys as PEM files (RFC 8410)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError

from labctl.lab.bundle.index import digest_of, refused

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_MAKE = "openssl genpkey -algorithm ed25519 -out KEY, openssl pkey -in KEY -pubout -out KEY.pub"


def sign(raw: bytes, key: Path) -> bytes:
    """The signature over an index, 64 bytes. InputError for a file that holds no such private key."""
    private: Ed25519PrivateKey = _load(key, private=True)
    return private.sign(raw)


def check_trust(
    raw: bytes, signature: bytes | None, *, digest: str = "", key: Path | None = None, unpinned: bool = False
) -> None:
    """InputError unless the index has the digest that is expected, and is signed by the key that is.

    Where neither is given it is refused too, with the digest found, unless the user takes it on trust.
    """
    found = digest_of(raw)
    if digest and found != (digest if ":" in digest else f"sha256:{digest}"):
        raise refused(f"its digest is {found}, {digest} was expected")
    if key is not None:
        from cryptography.exceptions import InvalidSignature

        public: Ed25519PublicKey = _load(key, private=False)
        if signature is None:
            raise refused(f"it is not signed, and a signature by {key} was expected")
        try:
            public.verify(signature, raw)
        except InvalidSignature:
            raise refused(f"its signature is not by {key}") from None
    if not digest and key is None and not unpinned:
        raise refused(
            f"nothing says that it is the right one; its digest is {found}",
            f"Compare that with what labctl bundle export printed, and give --digest {found}, or --key with the "
            "public key it was signed by; --accept-unpinned takes it on trust.",
        )


def _load(path: Path, *, private: bool) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ed25519
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

    wanted = ed25519.Ed25519PrivateKey if private else ed25519.Ed25519PublicKey
    kind = "private" if private else "public"
    try:
        raw = path.read_bytes()
        key: Any = load_pem_private_key(raw, None) if private else load_pem_public_key(raw)
    except OSError as exc:
        raise InputError(f"the key {path} cannot be read: {exc.strerror}", hint=_MAKE) from exc
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise InputError(f"{path} is no {kind} key in PEM without a password", hint=_MAKE) from exc
    if not isinstance(key, wanted):
        raise InputError(f"{path} is no Ed25519 {kind} key", hint=_MAKE)
    return key
