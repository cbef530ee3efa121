# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: Java's store of certificates without the times at which they were added.

It is the one file that Debian's packages do not make the same each time. Format: JKS, described in OpenJDK's
sun.security.provider.JavaKeyStore: a header, entries, and a sha1 over a password, a fixed phrase and all before it.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

from ...errors import ProviderError

_MAGIC, _CERTIFICATE = 0xFEEDFEED, 2
#: The password that Debian's package sets; it protects nothing, and is public.
_SALT = "changeit".encode("utf-16-be") + b"Mighty Aphrodite"


def settle(path: Path, epoch: int) -> None:
    """Set the times in a store to ``epoch``, in seconds since 1970; no file is fine, and another format is left."""
    if not path.is_file():
        return
    raw = path.read_bytes()
    if len(raw) > 32 and struct.unpack_from(">I", raw)[0] == _MAGIC:
        path.write_bytes(settled(raw, epoch * 1000))


def settled(raw: bytes, time: int) -> bytes:
    """The same store with ``time``, in milliseconds since 1970. ProviderError for a store that is damaged."""
    body = bytearray(raw[:-20])
    if _checksum(body) != raw[-20:]:
        raise ProviderError("Java's store of certificates in the image is damaged, or has a password of its own")
    try:
        _, _, count = struct.unpack_from(">III", body)
        at = 12
        for _ in range(count):
            (kind,) = struct.unpack_from(">I", body, at)
            if kind != _CERTIFICATE:
                raise ValueError(f"an entry of kind {kind}")
            at = _after_text(body, at + 4)
            struct.pack_into(">Q", body, at, time)
            at = _after_text(body, at + 8)
            at += 4 + struct.unpack_from(">I", body, at)[0]
        if at != len(body):
            raise ValueError(f"{len(body) - at} bytes too many")
    except (struct.error, ValueError) as exc:
        raise ProviderError(f"Java's store of certificates in the image cannot be read: {exc}") from exc
    return bytes(body) + _checksum(body)


def _after_text(body: bytearray, at: int) -> int:
    return int(at + 2 + struct.unpack_from(">H", body, at)[0])


def _checksum(body: bytearray) -> bytes:
    return hashlib.sha1(_SALT + body).digest()  # noqa: S324 - the format's own
