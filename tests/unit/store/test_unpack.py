# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives that mean harm, archives that are broken, and our own tars."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.store.tree import Entry, read_tree, tree_digest
from ansible_collections.labctl.stacks.plugins.module_utils.store.unpack import (
    LIMITS,
    Limits,
    members,
    pack_tree,
    unpack_tree,
)
from unit.store.doubles import member, tar

EVIL = b"#!/bin/sh\necho evil\n"


def read(body: bytes, limits: Limits = LIMITS) -> dict[str, bytes | None]:
    found = members(io.BytesIO(body), "x.tar", limits)
    return {item.path: item.stream.read() if item.stream else None for item in found}


@pytest.mark.parametrize(
    ("hostile", "says"),
    [
        (tar(member("../outside", EVIL)), "unsafe path"),
        (tar(member("a/../../outside", EVIL)), "unsafe path"),
        (tar(member("/etc/cron.d/evil", EVIL)), "unsafe path"),
        (tar(member("a\nb", EVIL)), "unsafe path"),
        (tar(member("link", type=tarfile.SYMTYPE, linkname="/etc"), member("link/passwd", EVIL)), "unsafe path"),
        (tar(member("link", type=tarfile.SYMTYPE, linkname="../../etc")), "unsafe path"),
        (tar(member("d/link", type=tarfile.SYMTYPE, linkname="."), member("d/link/x", EVIL)), "not a folder"),
        (tar(member("hard", type=tarfile.LNKTYPE, linkname="/etc/passwd")), "unsafe path"),
        (tar(member("hard", type=tarfile.LNKTYPE, linkname="../outside")), "unsafe path"),
        (tar(member("disk", type=tarfile.BLKTYPE, devmajor=8)), "device"),
        (tar(member("tty", type=tarfile.CHRTYPE, devmajor=4)), "device"),
        (tar(member("pipe", type=tarfile.FIFOTYPE)), "device"),
        (tar(member("su", EVIL, mode=0o4755)), "setuid"),
        (tar(member("su", EVIL, mode=0o2755)), "setuid"),
        (tar(member("a", EVIL), member("a", EVIL)), "there twice"),
        (tar(member("a", EVIL), member("./a/b", EVIL)), "not a folder"),
        (tar(member("a/b", EVIL), member("a", EVIL)), "there twice"),
    ],
)
def test_hostile_archive_is_refused(hostile: bytes, says: str) -> None:
    with pytest.raises(PreflightError, match=says):
        read(hostile)


def test_bomb_is_refused_before_it_goes_off() -> None:
    bomb = tar(member("zeros", bytes(50_000_000)))
    assert len(bomb) < 100_000
    with pytest.raises(PreflightError, match="beyond 1000000 bytes"):
        read(bomb, Limits(1_000_000, 10))
    with pytest.raises(PreflightError, match="one too many"):
        read(tar(*(member(f"f{number}") for number in range(11))), Limits(1_000_000, 10))


@pytest.mark.parametrize(
    "broken",
    [
        b"<html>Please log in</html>",
        b"",
        tar(member("a", b"x" * 100_000))[:-60],
        tar(member("a", b"x" * 100_000), compressed=False)[:20_000],
        b"\x1f\x8b" + bytes(100),
    ],
    ids=["html", "empty", "gzip cut", "tar cut", "gzip damaged"],
)
def test_broken_archive_is_named(broken: bytes) -> None:
    with pytest.raises(PreflightError, match=r"x\.tar: not a whole tar archive"):
        read(broken)


def test_honest_archive_is_read(tmp_path: Path) -> None:
    body = tar(
        member(".", type=tarfile.DIRTYPE),
        member("./top", type=tarfile.DIRTYPE),
        member("top/file", b"content"),
        member("top/link", type=tarfile.SYMTYPE, linkname="file"),
        member("top/hard", type=tarfile.LNKTYPE, linkname="top/file"),
    )
    assert read(body) == {"top/file": b"content", "top/link": None, "top/hard": None}


def tree(root: Path) -> list[Entry]:
    (root / "lib").mkdir(parents=True)
    for name, content, mode in (("lib/a.jar", b"a" * 3000, 0o444), ("run", EVIL, 0o555)):
        (root / name).write_bytes(content)
        (root / name).chmod(mode)
    return read_tree(root)


def test_our_own_tar_gives_the_same_tree_and_the_same_bytes(tmp_path: Path) -> None:
    entries = tree(tmp_path / "from")
    first, second = io.BytesIO(), io.BytesIO()
    pack_tree(tmp_path / "from", entries, first)
    (tmp_path / "from/run").touch()
    pack_tree(tmp_path / "from", reversed(entries), second)
    assert first.getvalue() == second.getvalue()
    (tmp_path / "x.tar").write_bytes(first.getvalue())
    (tmp_path / "to").mkdir()
    unpack_tree(tmp_path / "x.tar", tmp_path / "to")
    assert tree_digest(read_tree(tmp_path / "to")) == tree_digest(entries)


def test_link_in_a_tar_sent_to_a_host_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(tar(member("a", type=tarfile.SYMTYPE, linkname="b"), member("b", EVIL)))
    (tmp_path / "to").mkdir()
    with pytest.raises(PreflightError, match="is a link"):
        unpack_tree(tmp_path / "x.tar", tmp_path / "to")


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "run").chmod(0o444),
        lambda root: (root / "run").rename(root / "ran"),
        lambda root: (root / "lib/b.jar").write_bytes(b""),
    ],
    ids=["mode", "name", "another file"],
)
def test_digest_of_a_tree_tells_every_change(tmp_path: Path, change: object) -> None:
    before = tree_digest(tree(tmp_path))
    change(tmp_path)  # type: ignore[operator]
    assert tree_digest(read_tree(tmp_path)) != before
