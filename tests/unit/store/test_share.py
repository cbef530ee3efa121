# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host hands a tree to another: only to who knows the token, whole or not at all, and not for long."""

from __future__ import annotations

import inspect
import os
import socket
import subprocess
import sys
import threading
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError, LabError
from ansible_collections.labctl.stacks.plugins.module_utils.store import share, share_server
from ansible_collections.labctl.stacks.plugins.module_utils.store.tree import read_tree, tree_digest
from ansible_collections.labctl.stacks.plugins.module_utils.store.unpack import unpack_tree

TOKEN = "t" * 43


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "lib").mkdir(parents=True)
    (root / "lib/a.jar").write_bytes(os.urandom(300_000))
    (root / "run").write_bytes(b"#!/bin/sh\n")
    (root / "lib/a.jar").chmod(0o444)
    (root / "run").chmod(0o555)
    (root / "link").symlink_to("/etc/passwd")
    return root


def served(tree: Path, folder: Path, token: str = TOKEN, idle: str = "1") -> subprocess.Popen[str]:
    """The program, started as a host starts it."""
    argv = [sys.executable, "-ISc", inspect.getsource(share_server), str(tree), "127.0.0.1", idle]
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env={"RUNTIME_DIRECTORY": str(folder)}, text=True
    )
    assert process.stdin
    process.stdin.write(f"{token}\n")
    process.stdin.close()
    return process


@pytest.fixture
def server(tree: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    folder = tmp_path / "run"
    folder.mkdir()
    process = served(tree, folder)
    try:
        yield process, f"http://127.0.0.1:{share._port(folder / 'port')}/"
    finally:
        process.kill()
        process.wait()


def test_a_tree_arrives_as_it_was_and_the_server_ends_by_itself(
    server: tuple[subprocess.Popen[str], str], tree: Path, tmp_path: Path
) -> None:
    process, url = server
    share.fetch(url + TOKEN, tmp_path / "a.tar", 400_000)
    (tmp_path / "new").mkdir()
    unpack_tree(tmp_path / "a.tar", tmp_path / "new")
    (tree / "link").unlink()
    assert tree_digest(read_tree(tmp_path / "new")) == tree_digest(read_tree(tree))
    assert process.wait(timeout=20) == 0
    assert process.stderr
    assert process.stderr.read() == "", "a log would show the token"


@pytest.mark.parametrize("path", ["", "x", TOKEN[:-1], TOKEN + "x", "../etc/passwd", "%2e%2e/", "ü"])
def test_whoever_does_not_know_the_token_gets_nothing(server: tuple[subprocess.Popen[str], str], path: str) -> None:
    host, port = server[1][7:-1].split(":")
    with socket.create_connection((host, int(port)), timeout=5) as one:
        one.sendall(f"GET /{path} HTTP/1.0\r\n\r\n".encode())
        assert one.makefile("rb").readline().split()[1] == b"404"


def test_a_tar_without_end_is_not_taken(server: tuple[subprocess.Popen[str], str], tmp_path: Path) -> None:
    with pytest.raises(ConvergeError, match="more than the 1000 bytes"):
        share.fetch(server[1] + TOKEN, tmp_path / "a.tar", 1000)


def test_a_server_that_dies_in_the_middle_leaves_nothing_that_unpacks(tmp_path: Path, tree: Path) -> None:
    (tree / "link").unlink()
    whole = tmp_path / "whole.tar"
    with whole.open("wb") as stream:
        share_server.write_tar(tree, stream)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def half() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + whole.read_bytes()[:150_000])

        thread = threading.Thread(target=half)
        thread.start()
        share.fetch(f"http://127.0.0.1:{listening.getsockname()[1]}/x", tmp_path / "a.tar", 400_000)
        thread.join()
    (tmp_path / "new").mkdir()
    with pytest.raises(LabError):
        unpack_tree(tmp_path / "a.tar", tmp_path / "new")


def test_without_a_token_nothing_is_served(tree: Path, tmp_path: Path) -> None:
    process = served(tree, tmp_path, token="short")
    assert process.wait(timeout=20) == 1
    assert not (tmp_path / "port").exists()


def test_a_server_that_is_gone_is_an_error_of_the_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(urllib.error.URLError):
        share.fetch(f"http://127.0.0.1:{port}/{TOKEN}", tmp_path / "a.tar", 1000)


def test_starting_tells_the_token_to_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[str]] = []

    def command(argv: list[str], **_: object) -> str:
        told.append(argv)
        if argv[0] == "systemd-run":
            (secret,) = (word.partition("file:")[2] for word in argv if "StandardInput=" in word)
            assert Path(secret).read_text() == f"{TOKEN}\n"
            assert Path(secret).stat().st_mode & 0o777 == 0o600
        return ""

    monkeypatch.setattr(share, "command", command)
    monkeypatch.setattr(share, "RUN", tmp_path)
    monkeypatch.setattr(share, "START", 0.1)
    with pytest.raises(ConvergeError, match="did not start"):
        share.start(Path("/opt/labctl/x"), "10.0.0.1", TOKEN)
    assert [argv[0:2] for argv in told] == [["systemd-run", "--quiet"], ["systemctl", "stop"]]
    assert not [word for argv in told for word in argv if TOKEN in word]
    assert list(tmp_path.iterdir()) == []
