# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host can do of NFS, and what it is told where it cannot."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils import nfs
from ansible_collections.labctl.stacks.plugins.module_utils.errors import PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.nfs import Kernel

BARE = Kernel("6.1.0", frozenset({"ext4", "proc"}))
BUILT_IN = Kernel("6.1.0", frozenset({"ext4", "nfsd", "nfs4"}))
LOADABLE = Kernel("6.1.0", frozenset({"ext4"}), frozenset({"nfsd", "nfsv4", "nfs"}))
CONTAINER = Kernel("6.1.0", frozenset({"ext4", "nfsd"}), frozenset({"nfsv4"}), container=True)


@pytest.fixture
def exportable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nfs, "exportable", lambda folder, server: ("", ""))


def told(of: Kernel, *, server: str = "none", client: bool = False, folder: Path = Path("/srv/nfs")) -> list[str]:
    with pytest.raises(PreflightError) as caught:
        nfs.support(of, server=server, client=client, folder=folder)
    return [str(finding) for finding in caught.value.findings]


@pytest.mark.parametrize(
    ("of", "asked", "chosen"),
    [
        (BUILT_IN, "auto", "kernel"),
        (LOADABLE, "auto", "kernel"),
        (BARE, "auto", "ganesha"),
        (CONTAINER, "auto", "ganesha"),
        (CONTAINER, "kernel", "kernel"),
        (BUILT_IN, "ganesha", "ganesha"),
        (BARE, "none", ""),
    ],
)
@pytest.mark.usefixtures("exportable")
def test_the_kernels_server_is_taken_where_it_is_the_hosts_own(of: Kernel, asked: str, chosen: str) -> None:
    assert nfs.support(of, server=asked, client=False, folder=Path("/srv")) == chosen


@pytest.mark.usefixtures("exportable")
def test_all_that_the_kernel_lacks_is_said_at_once_with_the_mend() -> None:
    server, client = told(BARE, server="kernel", client=True)
    assert server.startswith("NFS server: kernel 6.1.0 has neither nfsd (/proc/filesystems) nor a module nfsd to load")
    assert "set nfs_server_kind: ganesha" in server
    assert client.startswith("NFS client: kernel 6.1.0 has neither nfs4 (/proc/filesystems) nor a module nfsv4 or nfs")
    assert "set nfs_mounts_enabled: false" in client


def test_a_container_is_told_to_look_to_its_machine() -> None:
    (client,) = told(CONTAINER, client=True)
    assert "modprobe nfsv4 there" in client
    assert nfs.support(LOADABLE, server="none", client=True, folder=Path("/srv")) == ""


@pytest.mark.parametrize(
    ("server", "kind", "wrong", "says"),
    [
        ("ganesha", "overlay", errno.EOPNOTSUPP, "lies on overlay, which gives its files no handles"),
        ("kernel", "overlay", errno.EOPNOTSUPP, "lies on overlay, which gives its files no handles"),
        ("ganesha", "tmpfs", 0, "lies on tmpfs, which NFS-Ganesha does not export"),
        ("ganesha", "ext4", errno.EPERM, "cannot be opened by their handles here"),
    ],
)
def test_a_folder_that_cannot_be_exported_is_named(
    server: str, kind: str, wrong: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nfs, "file_system_of", lambda path, text: kind)
    asked = []
    monkeypatch.setattr(nfs, "handles", lambda folder, reopen: (asked.append((folder, reopen)), wrong)[1])
    (finding,) = told(BUILT_IN, server=server, folder=tmp_path / "not/there")
    assert finding.startswith(f"{tmp_path}/not/there: ")
    assert says in finding
    assert asked in ([], [(tmp_path, server == "ganesha")]), "the nearest folder that is there is tried"


def test_a_real_file_system_is_asked_for_handles() -> None:
    assert nfs.handles(Path("/proc/self"), reopen=False) in (0, errno.EOPNOTSUPP)
    assert nfs.handles(Path("/sys/fs/cgroup/.."), reopen=False) in (0, errno.EOPNOTSUPP)
    assert nfs.handles(Path("/not/there"), reopen=False) == errno.ENOENT


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="opening by handle needs root")
def test_handles_open_what_they_were_made_of(tmp_path: Path) -> None:
    wrong = nfs.handles(tmp_path, reopen=True)
    if wrong:
        pytest.skip(f"no handles on {tmp_path}: {os.strerror(wrong)}")


def test_the_kernel_is_read_from_the_files_of_its_host(tmp_path: Path) -> None:
    modules = tmp_path / "lib/modules" / os.uname().release
    modules.mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/filesystems").write_text("nodev\tsysfs\n\text4\nnodev\tnfsd\n")
    (modules / "modules.dep").write_text("kernel/fs/nfs/nfsv4.ko.xz: kernel/fs/nfs/nfs.ko.xz\nkernel/net/a-b.ko:\n")
    (modules / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
    found = nfs.kernel(tmp_path)
    assert found.filesystems == {"sysfs", "ext4", "nfsd"}
    assert found.modules == {"nfsv4", "a_b", "ext4"}
    assert not found.container
    (tmp_path / "run/systemd").mkdir(parents=True)
    (tmp_path / "run/systemd/container").write_text("systemd-nspawn")
    assert nfs.kernel(tmp_path).container


def test_the_mount_that_is_seen_counts() -> None:
    text = (
        "1 0 0:1 / / rw - overlay o rw\n"
        "2 1 8:1 /x /srv/nfs rw - ext4 /dev/sda rw\n"
        "3 1 8:1 /x /srv/a\\040b rw - xfs /dev/sda rw\n"
        "4 1 0:2 / /srv/nfs rw - btrfs b rw\n"
    )
    assert nfs.file_system_of(Path("/srv/nfs/shared"), text) == "btrfs"
    assert nfs.file_system_of(Path("/srv/a b"), text) == "xfs"
    assert nfs.file_system_of(Path("/srv/nfsother"), text) == "overlay"
