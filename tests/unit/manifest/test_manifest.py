# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest survives kills, second runs and other roles; it never says more than the disk does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.manifest import Manifest, locked, section_key

FILE = {"path": "/etc/a", "sha256": "00", "before": "absent"}


def saved(root: Path, role: str, key: str = "config_tree/main", **kinds: object) -> Manifest:
    manifest = Manifest.load(role, root)
    manifest.replace(key, dict(kinds))
    manifest.save()
    return manifest


def test_saving_twice_leaves_the_same_bytes_whatever_the_order_of_records(tmp_path: Path) -> None:
    other = {"path": "/etc/b", "before": "absent"}
    first = saved(tmp_path, "hdfs", files=[FILE, other])
    content, inode = first.path.read_bytes(), first.path.stat().st_ino
    second = saved(tmp_path, "hdfs", files=[other, FILE])
    assert second.path.read_bytes() == content
    assert second.path.stat().st_ino == inode, "an equal manifest is not written again"
    assert second.sha256 == hashlib.sha256(content).hexdigest()


def test_only_root_reads_it(tmp_path: Path) -> None:
    manifest = saved(tmp_path, "hdfs", files=[FILE])
    assert manifest.path.stat().st_mode & 0o777 == 0o600
    assert manifest.path.parent.stat().st_mode & 0o777 == 0o700


def test_a_truncated_manifest_is_taken_as_absent_and_reported(tmp_path: Path) -> None:
    path = saved(tmp_path, "hdfs", files=[FILE]).path
    path.write_bytes(path.read_bytes()[:40])
    manifest = Manifest.load("hdfs", tmp_path)
    assert manifest.keys("config_tree") == []
    assert len(manifest.warnings) == 1
    assert "truncated" in manifest.warnings[0]


@pytest.mark.parametrize("content", ["", "[]", "null", '{"version": 1}', '{"version":1,"sections":{"a/b":{"c":[{}]}}}'])
def test_nonsense_is_taken_as_absent_too(tmp_path: Path, content: str) -> None:
    saved(tmp_path, "hdfs", files=[FILE]).path.write_text(content)
    assert Manifest.load("hdfs", tmp_path).section("config_tree/main") is None


@pytest.mark.parametrize("role", ["hdfs", "yarn"])
def test_a_newer_manifest_is_refused_also_when_it_is_another_roles(tmp_path: Path, role: str) -> None:
    path = saved(tmp_path, "hdfs", files=[FILE]).path
    path.write_text(json.dumps({"version": 2, "role": "hdfs", "sections": {}}))
    with pytest.raises(PreflightError, match="newer labctl") as caught:
        Manifest.load(role, tmp_path).owners("files", "/etc/a")
    assert "upgrade" in caught.value.hint


def test_owners_are_other_sections_and_other_roles(tmp_path: Path) -> None:
    saved(tmp_path, "hdfs", files=[FILE])
    saved(tmp_path, "hdfs", "config_tree/other", files=[FILE])
    saved(tmp_path, "yarn", files=[FILE])
    owners = Manifest.load("hdfs", tmp_path).owners("files", "/etc/a", excluding="config_tree/main")
    assert [(owner.role, owner.section) for owner in owners] == [
        ("hdfs", "config_tree/other"),
        ("yarn", "config_tree/main"),
    ]
    assert Manifest.load("hdfs", tmp_path).owners("packages", "/etc/a") == []


def test_before_travels_from_the_first_owner_to_the_next(tmp_path: Path) -> None:
    saved(tmp_path, "hdfs", "system/main", packages=[{"name": "jre", "version": "21", "before": "absent"}])
    yarn = Manifest.load("yarn", tmp_path)
    assert yarn.before("system/main", "packages", "jre", observed="21") == "absent"
    assert yarn.before("system/main", "packages", "curl", observed="8") == "8"


def test_empty_sections_and_the_last_manifest_go_and_so_do_our_folders(tmp_path: Path) -> None:
    root = tmp_path / "labctl"
    with locked(root):
        manifest = saved(root, "hdfs", files=[FILE])
        manifest.hmac(b"secret")
    assert (root / "manifest.key").stat().st_mode & 0o777 == 0o600
    with locked(root):
        manifest.replace("config_tree/main", {"files": [], "digest": ""})
        assert manifest.save() == ""
    assert not root.exists()


def test_an_error_inside_the_lock_reaches_the_caller(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), locked(tmp_path / "labctl"):
        raise FileNotFoundError("the caller's")
    assert not (tmp_path / "labctl").exists()


def test_a_secret_has_the_same_hmac_on_one_host_and_another_elsewhere(tmp_path: Path) -> None:
    one, two = (Manifest.load("hdfs", tmp_path / name) for name in ("one", "two"))
    assert one.hmac(b"secret") == one.hmac(b"secret") != one.hmac(b"other")
    assert one.hmac(b"secret") != two.hmac(b"secret")
    throwaway = Manifest.load("hdfs", tmp_path / "three")
    assert throwaway.hmac(b"secret", create=False) != throwaway.hmac(b"secret", create=False)
    assert not (tmp_path / "three").exists()


@pytest.mark.parametrize("role", ["", "../etc", "Hdfs", "a b", "a" * 300])
def test_names_cannot_leave_the_folder(tmp_path: Path, role: str) -> None:
    with pytest.raises(InputError):
        Manifest.load(role, tmp_path)
    with pytest.raises(InputError):
        section_key("system", role + "/")
