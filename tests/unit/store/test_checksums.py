# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checksum files as projects publish them."""

from __future__ import annotations

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.store.checksums import digest_in

A, B = "0a" * 32, "0b" * 32
LONG = "0123456789abcdef" * 8
GROUPS = " ".join(LONG[at : at + 8].upper() for at in range(0, 128, 8))


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        (A, f"sha256:{A}"),
        (f"{LONG}\n", f"sha512:{LONG}"),
        (f"{A}  thing.tgz\n{B}  other.tgz\n", f"sha256:{A}"),
        (f"{LONG}  thing.tgz", f"sha512:{LONG}"),
        (f"{A} *thing.tgz\r\n", f"sha256:{A}"),
        (f"{A}  ./release/thing.tgz\n", f"sha256:{A}"),
        (f"SHA512 (thing.tgz) = {LONG}\n", f"sha512:{LONG}"),
        (f"SHA256 (thing.tgz) = {A.upper()}\nSHA512 (other.tgz) = {LONG}\n", f"sha256:{A}"),
        (f"thing.tgz: {GROUPS[:72]}\n           {GROUPS[72:]}\n", f"sha512:{LONG}"),
        (f"thing.tgz: SHA512 = {GROUPS}\n", f"sha512:{LONG}"),
        (f"# made by us\n\n{A}  thing.tgz\n", f"sha256:{A}"),
    ],
    ids=[
        "bare",
        "bare sha512",
        "lines",
        "elastic",
        "binary mark",
        "folder",
        "bsd",
        "bsd upper",
        "gpg",
        "gpg named",
        "comment",
    ],
)
def test_every_published_shape_is_read(text: str, digest: str) -> None:
    assert digest_in(text, "thing.tgz") == digest


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "says nothing of thing.tgz"),
        (f"{A}  other.tgz", "says nothing of thing.tgz"),
        (f"{A[:-1]}  thing.tgz", "says nothing of thing.tgz"),
        ("d41d8cd98f00b204e9800998ecf8427e  thing.tgz", "says nothing of thing.tgz"),
        (f"SHA512 (thing.tgz) = {A}", "says nothing of thing.tgz"),
        (f"{A}  thing.tgz\n{B}  thing.tgz", "2 different digests for thing.tgz"),
        ("<!DOCTYPE html><html>log in</html>", "an HTML page came"),
        (f"{A}  thing.tgz.asc", "says nothing of thing.tgz"),
    ],
)
def test_what_does_not_name_the_file_once_is_refused(text: str, says: str) -> None:
    with pytest.raises(PreflightError, match=says):
        digest_in(text, "thing.tgz")
