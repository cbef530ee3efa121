# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Java's store of certificates, without the times at which they were added."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ProviderError
from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn.java_certificates import settle, settled


def text(value: str) -> bytes:
    return struct.pack(">H", len(value)) + value.encode()


def store(times: list[int], kind: int = 2, rest: bytes = b"") -> bytes:
    body = struct.pack(">III", 0xFEEDFEED, 2, len(times))
    for number, time in enumerate(times):
        certificate = b"certificate" * (number + 1)
        body += struct.pack(">I", kind) + text(f"debian:{number}") + struct.pack(">Q", time)
        body += text("X.509") + struct.pack(">I", len(certificate)) + certificate
    body += rest
    return body + hashlib.sha1("changeit".encode("utf-16-be") + b"Mighty Aphrodite" + body).digest()  # noqa: S324


def test_only_times_and_checksum_change() -> None:
    assert settled(store([5, 6, 7]), 1000) == store([1000, 1000, 1000])
    assert settled(store([1000]), 1000) == store([1000])


@pytest.mark.parametrize(
    "raw",
    [store([1])[:-1] + b"x", store([1], kind=1), store([1], rest=b"more"), store([1]).replace(b"X.509", b"X.508")],
)
def test_a_damaged_or_foreign_store_is_refused(raw: bytes) -> None:
    with pytest.raises(ProviderError, match="Java's store of certificates"):
        settled(raw, 1000)


def test_no_store_or_one_of_another_format_is_left_alone(tmp_path: Path) -> None:
    settle(tmp_path / "absent", 1)
    other = tmp_path / "pkcs12"
    other.write_bytes(b"\x30\x82" + b"0" * 64)
    settle(other, 1)
    assert other.read_bytes() == b"\x30\x82" + b"0" * 64
    jks = tmp_path / "cacerts"
    jks.write_bytes(store([5]))
    settle(jks, 1)
    assert jks.read_bytes() == store([1000])
