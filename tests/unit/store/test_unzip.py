# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zips that mean harm, zips that are broken, and honest ones."""

from __future__ import annotations

import io
import stat
import zipfile

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.store.unpack import LIMITS, Limits
from ansible_collections.labctl.stacks.plugins.module_utils.store.unzip import archive_members
from unit.store.doubles import member, tar, zipped

EVIL = b"#!/bin/sh\necho evil\n"
FILE, LINK, FOLDER = stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777, stat.S_IFDIR | 0o755


def read(body: bytes, limits: Limits = LIMITS) -> dict[str, bytes | str]:
    found = archive_members(io.BytesIO(body), "x.zip", limits)
    return {item.path: item.stream.read() if item.stream else item.target for item in found}


@pytest.mark.parametrize(
    ("hostile", "says"),
    [
        (zipped(("../outside", EVIL, FILE)), "unsafe path"),
        (zipped(("a/../../outside", EVIL, FILE)), "unsafe path"),
        (zipped(("/etc/cron.d/evil", EVIL, FILE)), "unsafe path"),
        (zipped(("a\nb", EVIL, FILE)), "unsafe path"),
        (zipped(("link", b"/etc", LINK), ("link/passwd", EVIL, FILE)), "unsafe path|not a folder"),
        (zipped(("link", b"../../etc", LINK)), "unsafe path"),
        (zipped(("d/link", b".", LINK), ("d/link/x", EVIL, FILE)), "not a folder"),
        (zipped(("disk", b"", stat.S_IFBLK | 0o644)), "device"),
        (zipped(("tty", b"", stat.S_IFCHR | 0o644)), "device"),
        (zipped(("pipe", b"", stat.S_IFIFO | 0o644)), "device"),
        (zipped(("su", EVIL, stat.S_IFREG | 0o4755)), "setuid"),
        (zipped(("su", EVIL, stat.S_IFREG | 0o2755)), "setuid"),
        (zipped(("a", EVIL, FILE), ("./a", EVIL, FILE)), "there twice"),
        (zipped(("a", EVIL, FILE), ("a/b", EVIL, FILE)), "not a folder"),
        (zipped(("link", b"x" * 5000, LINK)), "link 'link' of 5000 bytes"),
    ],
)
def test_hostile_zip_is_refused(hostile: bytes, says: str) -> None:
    with pytest.raises(PreflightError, match=says):
        read(hostile)


def test_bomb_is_refused_before_it_goes_off() -> None:
    bomb = zipped(("zeros", bytes(50_000_000), FILE))
    assert len(bomb) < 100_000
    with pytest.raises(PreflightError, match="beyond 1000000 bytes"):
        read(bomb, Limits(1_000_000, 10))
    with pytest.raises(PreflightError, match="one too many"):
        read(zipped(*((f"f{number}", b"", FILE) for number in range(11))), Limits(1_000_000, 10))


def test_bomb_that_lies_about_its_size_gives_no_more_than_it_says() -> None:
    body = bytearray(zipped(("zeros", bytes(5_000_000), FILE)))
    directory = body.rindex(b"PK\x01\x02")
    body[directory + 24 : directory + 28] = (10).to_bytes(4, "little")
    with pytest.raises(PreflightError, match="not a whole zip archive"):
        read(bytes(body), Limits(1_000_000, 10))


@pytest.mark.parametrize(
    "broken",
    [
        zipped(("a", bytes(100_000), FILE))[:-60],
        b"PK\x03\x04" + bytes(100),
        b"PK\x05\x06" + b"x" * 30,
    ],
    ids=["cut", "no directory", "damaged"],
)
def test_broken_zip_is_named(broken: bytes) -> None:
    with pytest.raises(PreflightError, match=r"x\.zip: not a whole zip archive"):
        read(broken)


def test_damaged_content_is_found_by_its_checksum() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a", EVIL)
    with pytest.raises(PreflightError, match="Bad CRC"):
        read(out.getvalue().replace(b"evil", b"good"))


def test_encrypted_member_is_refused() -> None:
    body = bytearray(zipped(("a", EVIL, FILE)))
    directory = body.rindex(b"PK\x01\x02")
    body[directory + 8] |= 1
    body[6] |= 1
    with pytest.raises(PreflightError, match="encrypted"):
        read(bytes(body))


def test_honest_zip_and_honest_tar_are_read_by_their_content() -> None:
    body = zipped(("top/", b"", FOLDER), ("top/file", b"content", FILE), ("top/link", b"file", LINK))
    assert read(body) == {"top/file": b"content", "top/link": "top/file"}
    assert read(tar(member("top/file", b"content"))) == {"top/file": b"content"}
