# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files are written all or none, and what stood there before is never lost, wherever a run is killed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils import fileops
from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Call
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError, InputError
from ansible_collections.labctl.stacks.plugins.module_utils.fileops import group_name, user_name
from ansible_collections.labctl.stacks.plugins.module_utils.filetree import converge, digest, file_spec
from ansible_collections.labctl.stacks.plugins.module_utils.managed_files import FileSpec
from ansible_collections.labctl.stacks.plugins.module_utils.manifest import Manifest
from ansible_collections.labctl.stacks.plugins.plugin_utils.bulk import with_encoded_content

ME = {"owner": user_name(os.geteuid()), "group": group_name(os.getegid())}


class Tree:
    """A tiny host: config_tree calls of roles on files below a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.etc = folder / "etc"
        self.state.mkdir()
        self.etc.mkdir()

    def call(self, role: str, files: dict[str, str], *, check: bool = False, closed: bool = False, **more: Any) -> Any:
        entries = [{"path": str(self.etc / name), "content": text, **ME, **more} for name, text in files.items()]
        options = with_encoded_content(entries, "path", required=True)
        for option in options:
            for key, value in {"mode": "0644", "secret": False, "validate": ""}.items():
                option.setdefault(key, value)
        folders = [{"path": str(self.etc), **ME, "mode": "0755"}] if closed else []
        return converge(Call(Manifest.load(role, self.state), "config_tree/main", {}, check), options, folders)

    def read(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in sorted(self.etc.iterdir())}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_check_mode_writes_nothing_and_tells_what_a_run_does(tree: Tree) -> None:
    predicted = tree.call("hdfs", {"a": "1"}, check=True, secret=True)
    assert tree.read() == {}
    assert list(tree.state.iterdir()) == []
    done = tree.call("hdfs", {"a": "1"}, secret=True)
    assert predicted.changes == done.changes
    assert tree.call("hdfs", {"a": "1"}, secret=True).changes == []


def test_a_file_of_before_comes_back_when_it_is_no_longer_declared(tree: Tree) -> None:
    (tree.etc / "a").write_text("original")
    tree.call("hdfs", {"a": "ours"})
    tree.call("hdfs", {"a": "ours, newer"})
    tree.call("hdfs", {})
    assert tree.read() == {"a": "original"}


def test_a_link_of_before_comes_back_too(tree: Tree) -> None:
    (tree.etc / "a").symlink_to("/etc/hostname")
    tree.call("hdfs", {"a": "ours"})
    assert not (tree.etc / "a").is_symlink()
    tree.call("hdfs", {})
    assert (tree.etc / "a").readlink() == Path("/etc/hostname")


def test_a_file_of_two_roles_goes_with_the_second(tree: Tree) -> None:
    (tree.etc / "a").write_text("original")
    tree.call("hdfs", {"a": "ours"})
    tree.call("yarn", {"a": "ours"})
    tree.call("hdfs", {})
    assert tree.read() == {"a": "ours"}
    tree.call("yarn", {})
    assert tree.read() == {"a": "original"}


@pytest.mark.parametrize("commits", [0, 1])
def test_a_run_killed_between_renames_loses_no_original(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, commits: int
) -> None:
    (tree.etc / "a").write_text("original")
    commit, done = fileops.Staged.commit, []

    def killed(staged: fileops.Staged) -> None:
        if len(done) == commits:
            raise KeyboardInterrupt
        done.append(staged)
        commit(staged)

    monkeypatch.setattr(fileops.Staged, "commit", killed)
    with pytest.raises(KeyboardInterrupt):
        tree.call("hdfs", {"a": "ours", "b": "ours"})
    monkeypatch.undo()
    assert not any(name.startswith(".labctl") for name in tree.read())
    tree.call("hdfs", {"a": "ours", "b": "ours"})
    assert tree.read() == {"a": "ours", "b": "ours"}
    tree.call("hdfs", {})
    assert tree.read() == {"a": "original"}


def test_one_refused_file_and_none_is_written(tree: Tree) -> None:
    (tree.etc / "a").write_text("original")
    with pytest.raises(ConvergeError, match="validation by 'grep' failed, nothing was written"):
        tree.call("hdfs", {"a": "good", "b": "bad"}, validate="grep -q good %s")
    assert tree.read() == {"a": "original"}
    assert Manifest.load("hdfs", tree.state).section("config_tree/main") is None


def test_strays_of_a_closed_folder_are_put_aside_but_not_other_roles_files_or_folders(tree: Tree) -> None:
    tree.call("yarn", {"theirs": "x"})
    tree.call("hdfs", {"ours": "x"}, closed=True)
    (tree.etc / "stray").write_text("keep me")
    (tree.etc / "folder").mkdir()
    outcome = tree.call("hdfs", {"ours": "x"}, closed=True)
    assert outcome.values["removed"] == [str(tree.etc / "stray")]
    assert sorted(path.name for path in tree.etc.iterdir()) == ["folder", "ours", "theirs"]
    (kept,) = (tree.state / "backup" / "stray").iterdir()
    assert kept.read_text() == "keep me"
    assert kept.stat().st_mode & 0o777 == 0o600


def test_the_digest_moves_with_content_owner_and_mode_and_not_with_order(tree: Tree) -> None:
    one, two = FileSpec("/etc/a", b"1"), FileSpec("/etc/b", b"2")
    manifest = Manifest.load("hdfs", tree.state)
    digests = {
        digest(manifest, specs, create_key=True)
        for specs in (
            [one, two],
            [one],
            [FileSpec("/etc/a", b"2"), two],
            [FileSpec("/etc/a", b"1", mode="0600"), two],
            [FileSpec("/etc/a", b"1", owner="games"), two],
            [FileSpec("/etc/a", b"1", secret=True), two],
        )
    }
    assert len(digests) == 6
    assert digest(manifest, [two, one], create_key=True) == digest(manifest, [one, two], create_key=True)


@pytest.mark.parametrize("path", ["etc/a", "/etc/../a", "/etc//a", "/etc/a/", "/", "/etc/a\nb"])
def test_one_path_has_one_name(tree: Tree, path: str) -> None:
    option = {"path": path, "content_b64": "", **ME, "mode": "0644", "secret": False, "validate": ""}
    with pytest.raises(InputError, match="plain form"):
        converge(Call(Manifest.load("hdfs", tree.state), "config_tree/main", {}, True), [option], [])


@pytest.mark.parametrize("mode", ["644", "493", "0999", "u+x", ""])
def test_a_mode_is_octal_and_quoted(mode: str) -> None:
    option = {"path": "/etc/a", "content_b64": "", **ME, "mode": mode, "secret": False, "validate": ""}
    with pytest.raises(InputError, match="is not octal"):
        file_spec(option)


def test_a_file_declared_twice_is_refused(tree: Tree) -> None:
    option = {"path": "/etc/a", "content_b64": "", **ME, "mode": "0644", "secret": False, "validate": ""}
    with pytest.raises(InputError, match="declared twice"):
        converge(Call(Manifest.load("hdfs", tree.state), "config_tree/main", {}, True), [option, option], [])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make links of others")
def test_a_link_of_another_user_on_the_way_is_not_followed(tree: Tree) -> None:
    (tree.etc / "link").symlink_to("/tmp")
    os.chown(tree.etc / "link", 12345, 12345, follow_symlinks=False)
    with pytest.raises(ConvergeError, match="link of user '12345', not followed"):
        tree.call("hdfs", {"link/a": "x"})


def test_a_folder_in_a_files_place_is_left_alone(tree: Tree) -> None:
    (tree.etc / "a").mkdir()
    with pytest.raises(ConvergeError, match="is a directory on this host"):
        tree.call("hdfs", {"a": "x"})


def test_removing_a_tree_keeps_what_others_have_in_it(tmp_path: Path) -> None:
    (tmp_path / "tree/theirs/deep").mkdir(parents=True)
    (tmp_path / "tree/ours").mkdir()
    (tmp_path / "tree/ours/file").write_text("x")
    (tmp_path / "tree/link").symlink_to("/etc")
    theirs = str(tmp_path / "tree/theirs")
    assert not fileops.remove_tree(str(tmp_path / "tree"), {theirs})
    assert [path.name for path in (tmp_path / "tree").iterdir()] == ["theirs"]
    assert fileops.remove_tree(str(tmp_path / "tree"), set())
    assert not (tmp_path / "tree").exists()
