# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes a host itself, and how a live root is changed without being led out of it."""

from __future__ import annotations

import os
import stat
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ProviderError
from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import rootfs

ADDRESSES = {"head": "10.1.2.2", "worker1": "10.1.2.3"}


def test_every_host_knows_all_names_by_their_lab_address() -> None:
    text = rootfs.hosts_text(ADDRESSES)
    assert "10.1.2.2\thead\n10.1.2.3\tworker1\n" in text
    assert "127.0.1.1" not in text
    assert "127.0.0.1\tlocalhost" in text


def test_our_block_is_replaced_and_other_lines_stay() -> None:
    old = rootfs.hosts_text(ADDRESSES) + "192.0.2.9\tprinter\n"
    new = rootfs.block(old, ["10.1.2.4\tworker2"])
    assert "worker1" not in new
    assert "192.0.2.9\tprinter" in new
    assert new.count(rootfs.BEGIN) == 1
    assert rootfs.block(new, ["10.1.2.4\tworker2"]) == new


def test_the_network_file_gives_address_and_gateway() -> None:
    text = rootfs.network_text("10.1.2.3", IPv4Network("10.1.2.0/24"))
    assert "Address=10.1.2.3/24\nGateway=10.1.2.1\n" in text


def test_folders_of_the_upper_layer_have_the_modes_of_the_image(tmp_path: Path) -> None:
    image, upper = tmp_path / "image", tmp_path / "upper"
    (image / "root").mkdir(parents=True)
    (image / "root").chmod(0o700)
    (image / "etc").mkdir()
    upper.mkdir()
    old = os.umask(0o077)
    try:
        rootfs.fill_upper(upper, image, {"root/.ssh/authorized_keys": ("k\n", 0o600), "etc/new/file": ("x\n", 0o644)})
    finally:
        os.umask(old)
    modes = {str(path.relative_to(upper)): stat.S_IMODE(path.stat().st_mode) for path in upper.rglob("*")}
    assert modes == {
        "root": 0o700,
        "root/.ssh": 0o700,
        "root/.ssh/authorized_keys": 0o600,
        "etc": 0o755,
        "etc/new": 0o755,
        "etc/new/file": 0o644,
    }


def test_mounts_are_found_deepest_first_and_blanks_are_understood() -> None:
    text = (
        "1 0 8:1 / / rw - ext4 /dev/a rw\n"
        "2 1 0:5 / /s/lab/head/root rw - overlay o rw\n"
        "3 2 0:6 / /s/lab/head/root/a\\040b rw - tmpfs t rw\n"
        "4 1 0:5 / /s/lab/head-2/root rw - overlay o rw\n"
    )
    assert rootfs.mounts_below(Path("/s/lab/head"), text) == [
        Path("/s/lab/head/root/a b"),
        Path("/s/lab/head/root"),
    ]


def test_a_live_file_is_brought_up_to_date_and_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    file = tmp_path / "etc/hosts"
    file.write_text("127.0.0.1 localhost\n")
    file.chmod(0o640)
    assert rootfs.set_block(tmp_path, "etc/hosts", ["10.1.2.2\thead"])
    assert file.read_text() == "127.0.0.1 localhost\n# labctl: begin\n10.1.2.2\thead\n# labctl: end\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert not rootfs.set_block(tmp_path, "etc/hosts", ["10.1.2.2\thead"])


@pytest.mark.parametrize("kind", ["file link", "folder link", "pipe", "missing"])
def test_a_hosts_links_do_not_lead_us_out_of_its_root(tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "hosts").write_text("precious\n")
    root = tmp_path / "root"
    root.mkdir()
    if kind == "folder link":
        (root / "etc").symlink_to(outside)
    else:
        (root / "etc").mkdir()
        if kind == "file link":
            (root / "etc/hosts").symlink_to(outside / "hosts")
        elif kind == "pipe":
            os.mkfifo(root / "etc/hosts")
    assert not rootfs.set_block(root, "etc/hosts", ["10.1.2.2\thead"])
    assert (outside / "hosts").read_text() == "precious\n"
    assert list(outside.iterdir()) == [outside / "hosts"]


def test_a_tree_with_a_mount_in_it_is_not_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "host/root").mkdir(parents=True)
    monkeypatch.setattr(rootfs, "mounts_below", lambda folder: [folder / "root"])
    with pytest.raises(ProviderError, match="still mounted"):
        rootfs.remove_tree(tmp_path / "host")
    assert (tmp_path / "host/root").is_dir()
