# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of a lab's secrets: private, whole files, names that stay in it, and what a secret must be."""

from __future__ import annotations

import os
import pwd
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.action.secrets import check
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError
from ansible_collections.labctl.stacks.plugins.module_utils.secret_folder import SecretFolder, path_part


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_and_folders_are_private_whatever_the_umask(tmp_path: Path) -> None:
    folder = SecretFolder(tmp_path / "lab")
    before = os.umask(0)
    try:
        with folder.lock():
            folder.write("one", "value")
            folder.write("pki/deep/two.crt", "value\n", 0o644)
    finally:
        os.umask(before)
    assert [mode(folder.path / name) for name in ("", "one", "pki", "pki/deep", "pki/deep/two.crt")] == [
        0o700,
        0o600,
        0o700,
        0o700,
        0o644,
    ]
    assert (folder.path / "one").read_text() == (folder.path / "pki/deep/two.crt").read_text() == "value\n"
    assert folder.read("one") == "value"
    folder.path.chmod(0o755)
    with folder.lock():
        assert mode(folder.path) == 0o700


def test_reading_makes_nothing(tmp_path: Path) -> None:
    assert SecretFolder(tmp_path / "lab").read("one") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_what_is_no_secret_is_an_error_that_shows_none_of_it(tmp_path: Path, content: bytes) -> None:
    folder = SecretFolder(tmp_path)
    folder.path.mkdir()
    (folder.path / "one").write_bytes(content)
    with pytest.raises(InputError, match=r"/one is (empty|not a file with text)$") as caught:
        folder.read("one")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("name", ["../id", "/etc/passwd", "a//b", "", ".hidden", "pki/../../id", "a/."])
def test_names_stay_in_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "id").write_text("x")
    with pytest.raises(InputError, match="is not the name of a secret"):
        SecretFolder(tmp_path).read(name)


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = SecretFolder(tmp_path)
    with folder.lock():
        folder.write("one", "old")
        monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            folder.write("one", "new")
    assert folder.read("one") == "old"
    assert [path.name for path in folder.path.iterdir()] == ["one"]


def test_a_link_is_no_folder_of_secrets(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "secrets").symlink_to("elsewhere")
    with pytest.raises(InputError, match="is a link"), SecretFolder(tmp_path).lock():
        pass


def test_one_at_a_time(tmp_path: Path) -> None:
    def make(number: int) -> str:
        folder = SecretFolder(tmp_path / "lab")
        with folder.lock():
            if folder.read("one") is None:
                folder.write("one", f"value {number}")
            return str(folder.read("one"))

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(make, range(24)))) == 1


def test_names_of_hosts_become_one_part_of_a_path() -> None:
    assert [path_part(name) for name in ("worker1", "a.example.org", "../x", "..", "[::1]:22")] == [
        "worker1",
        "a.example.org",
        "%2E.%2Fx",
        "%2E.",
        "%5B%3A%3A1%5D%3A22",
    ]


LETTERS = ["ascii_letters", "digits"]


@pytest.mark.parametrize(
    ("secrets", "message"),
    [
        ([("a", 21, LETTERS)], "secret a would have 125 bits, which is fewer than 128"),
        ([("a", 38, ["digits"])], "secret a would have 126 bits, which is fewer than 128"),
        ([("a", 32, ["digits", "digits"])], "secret a would have 106 bits, which is fewer than 128"),
        ([("a", 32, [])], "secret a would have 0 bits, which is fewer than 128"),
        ([("a", 32, LETTERS), ("b", 32, LETTERS), ("a", 64, LETTERS)], "secret a is declared twice"),
        ([("../id", 32, LETTERS)], "'../id' is no name for a secret"),
        ([("pki/ca-1.key", 32, LETTERS)], "'pki/ca-1.key' is no name for a secret"),
    ],
)
def test_weak_and_unclear_secrets_are_refused(secrets: list[tuple[str, int, list[str]]], message: str) -> None:
    with pytest.raises(InputError) as caught:
        check([{"name": name, "length": length, "chars": chars} for name, length, chars in secrets])
    assert str(caught.value) == message


def test_strong_ones_are_taken() -> None:
    check([{"name": "a-1_b", "length": 22, "chars": LETTERS}, {"name": "pin", "length": 39, "chars": ["digits"]}])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_under_sudo_all_of_it_is_the_calling_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = pwd.getpwnam("nobody")
    monkeypatch.setenv("SUDO_UID", str(caller.pw_uid))
    folder = SecretFolder(tmp_path / "lab")
    with folder.lock():
        folder.write("pki/box/web.key", "value")
    made = list(tmp_path.rglob("*"))
    assert len(made) == 5
    assert {path.stat().st_uid for path in made} == {caller.pw_uid}
