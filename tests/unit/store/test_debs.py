# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of Debian packages, and the index over a set of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.store import debs
from ansible_collections.labctl.stacks.plugins.module_utils.store.tree import Entry, sha256_file
from unit.store.packages import make_deb


def entry(path: Path) -> tuple[Entry, Path]:
    return Entry(path.name, 0o444, path.stat().st_size, sha256_file(path)), path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("libc6_2.41-12+deb13u4_amd64.deb", ("libc6", "2.41-12+deb13u4", "amd64")),
        ("zlib1g_1%3a1.3.dfsg+really1.3.1-1_amd64.deb", ("zlib1g", "1:1.3.dfsg+really1.3.1-1", "amd64")),
        ("tzdata_2026a~1_all.deb", ("tzdata", "2026a~1", "all")),
    ],
)
def test_a_packages_file_names_it(name: str, expected: tuple[str, str, str]) -> None:
    assert debs.parsed(name) == expected


@pytest.mark.parametrize("name", ["Packages", "apt/sources.list", "a_1_amd64.deb/x", "../x_1_amd64.deb", "X_1_a.deb"])
def test_any_other_name_is_no_packages(name: str) -> None:
    assert debs.parsed(name) is None


def test_a_package_url_has_epoch_and_plus_encoded() -> None:
    deb = debs.Deb("libstdc++6", "1:2+b1", "amd64")
    assert deb.purl == "pkg:deb/debian/libstdc%2B%2B6@1%3A2%2Bb1?arch=amd64"


def test_the_index_is_the_same_in_any_order_and_says_when_the_youngest_was_made(tmp_path: Path) -> None:
    old, young = make_deb(tmp_path, "old", made=100), make_deb(tmp_path, "young", "1:2-1", made=200)
    text, youngest = debs.index([entry(young), entry(old)])
    assert (text, youngest) == debs.index([entry(old), entry(young)])
    assert youngest == 200
    assert text.startswith("Package: old\n")
    assert "Version: 1:2-1\n" in text
    assert f"Filename: ./young_1%3a2-1_amd64.deb\nSize: {young.stat().st_size}\nSHA256: {sha256_file(young)}\n" in text
    assert text.count("\n\n") == 1


@pytest.mark.parametrize("content", [b"<html>", b"!<arch>\n", b"!<arch>\nrubbish" * 10, b""])
def test_what_is_no_package_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a_1_all.deb"
    path.write_bytes(content)
    with pytest.raises(PreflightError, match=r"a_1_all\.deb is not a Debian package"):
        debs.stanza(path)


def test_a_broken_control_archive_is_named(tmp_path: Path) -> None:
    path = make_deb(tmp_path, "a")
    path.write_bytes(path.read_bytes().replace(b"\xfd7zXZ", b"\xfd7zXY"))
    with pytest.raises(PreflightError, match=r"is not a Debian package: control\.tar\.xz"):
        debs.stanza(path)
