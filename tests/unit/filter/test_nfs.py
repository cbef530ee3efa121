# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.labctl.stacks.plugins.filter.nfs import (
    export_directories,
    ganesha_conf,
    ganesha_exports,
    kernel_exports,
    mount_unit,
    mount_units,
)

ADDRESSES = {"b": "10.0.0.3", "a": "10.0.0.2"}
EXPORTS: list[dict[str, Any]] = [
    {"path": "/shared"},
    {"path": "/images", "clients": ["a", "192.0.2.0/24"], "options": ["ro", "all_squash", "anonuid=1000", "insecure"]},
]


def test_ganesha_gets_blocks_in_order_with_lists_and_booleans_as_it_reads_them() -> None:
    blocks = {
        "NFSv4": {"Minor_Versions": [1, 2], "Delegations": False, "Grace_Period": None},
        "EXPORT": [{"Path": "/a b", "FSAL": {"Name": "VFS"}}, {"Path": "/c"}],
        "LOG": None,
    }
    assert ganesha_conf(blocks).splitlines() == [
        "# Managed by Ansible (labctl.stacks).",
        "EXPORT {",
        "  FSAL {",
        "    Name = VFS;",
        "  }",
        '  Path = "/a b";',
        "}",
        "EXPORT {",
        "  Path = /c;",
        "}",
        "NFSv4 {",
        "  Delegations = false;",
        "  Minor_Versions = 1, 2;",
        "}",
    ]


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (["a"], "expected a dictionary of blocks, got list"),
        ({"a": 1}, "'a' is no block of settings"),
        ({"a": {"b": "x\ny"}}, "a.b cannot be"),
        ({"a": {"b": 'x"; c = "d'}}, "a.b cannot be"),
        ({"a": {"b": ""}}, "a.b cannot be"),
    ],
)
def test_what_would_break_out_of_its_setting_is_refused(blocks: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        ganesha_conf(blocks)


def test_an_export_of_ganesha_is_closed_to_all_but_its_clients() -> None:
    shared, images = ganesha_exports(EXPORTS, "/srv/nfs", ADDRESSES)
    assert (shared["Path"], shared["Pseudo"], shared["Access_Type"]) == ("/srv/nfs/shared", "/shared", "None")
    assert shared["CLIENT"] == {
        "Clients": ["10.0.0.2", "10.0.0.3"],
        "Access_Type": "RW",
        "Squash": "Root_Squash",
        "PrivilegedPort": True,
        "Anonymous_uid": 65534,
        "Anonymous_gid": 65534,
    }
    assert images["CLIENT"]["Clients"] == ["10.0.0.2", "192.0.2.0/24"]
    assert [images["CLIENT"][name] for name in ("Access_Type", "Squash", "PrivilegedPort", "Anonymous_uid")] == [
        "RO",
        "All_Squash",
        False,
        1000,
    ]


def test_an_exports_id_stays_whatever_stands_before_it() -> None:
    first = {export["Pseudo"]: export["Export_Id"] for export in ganesha_exports(EXPORTS, "/srv/nfs", ADDRESSES)}
    turned = {export["Pseudo"]: export["Export_Id"] for export in ganesha_exports(EXPORTS[::-1], "/srv/nfs", ADDRESSES)}
    assert first == turned
    assert ganesha_exports([{"path": "/x", "id": 7}], "/srv", ADDRESSES)[0]["Export_Id"] == 7
    with pytest.raises(AnsibleFilterError, match="/y and /x have one id"):
        ganesha_exports([{"path": "/x", "id": 7}, {"path": "/y", "id": 7}], "/srv", ADDRESSES)


def test_the_kernels_server_gets_the_same_exports() -> None:
    _, shared, images = kernel_exports(EXPORTS, ADDRESSES).splitlines()
    assert shared.split()[0] == "/shared"
    assert [client.partition("(")[0] for client in shared.split()[1:]] == ["10.0.0.2", "10.0.0.3"]
    assert "(rw,root_squash,secure,anonuid=65534,anongid=65534,sync,no_subtree_check,fsid=" in shared
    assert images.split()[2].startswith("192.0.2.0/24(ro,all_squash,insecure,anonuid=1000,")
    assert "fsid=0)" in kernel_exports([{"path": "/"}], ADDRESSES)


@pytest.mark.parametrize(
    ("export", "message"),
    [
        ({"path": "shared"}, "'shared' is no path of an export"),
        ({"path": "/a/../b"}, "is no path of an export"),
        ({"path": "/a b"}, "is no path of an export"),
        ({}, "'' is no path of an export"),
        ({"path": "/a", "options": ["rwx"]}, r"/a: unknown option 'rwx' \(known: rw, ro,"),
        ({"path": "/a", "options": ["anonuid=root"]}, "unknown option 'anonuid=root'"),
        ({"path": "/a", "clients": ["a;b"]}, "'a;b' is no host, address or network"),
    ],
)
def test_an_export_that_is_none_is_refused_by_name(export: dict[str, Any], message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        ganesha_exports([export], "/srv/nfs", ADDRESSES)
    with pytest.raises(AnsibleFilterError, match=message):
        kernel_exports([export], ADDRESSES)


def test_a_path_twice_and_an_export_for_nobody_are_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="/a is there twice"):
        kernel_exports([{"path": "/a"}, {"path": "/a"}], ADDRESSES)
    with pytest.raises(AnsibleFilterError, match="/a has no clients"):
        kernel_exports([{"path": "/a"}], {})


def test_folders_of_exports_are_data() -> None:
    exports = [{"path": "/shared"}, {"path": "/home/ada", "owner": "ada", "mode": "0700"}]
    assert export_directories(exports, "/srv/nfs/") == [
        {"path": "/srv/nfs/shared", "owner": "root", "group": "root", "mode": "01777", "data": True},
        {"path": "/srv/nfs/home/ada", "owner": "ada", "group": "root", "mode": "0700", "data": True},
    ]


@pytest.mark.parametrize("path", ["/mnt/shared", "/srv/a-b/c_d", "/mnt/x@y:1,2"])
def test_a_mounts_unit_is_named_as_systemd_names_it(path: str) -> None:
    if not shutil.which("systemd-escape"):
        pytest.skip("systemd-escape is not installed")
    argv = ["systemd-escape", "--path", "--suffix=mount", path]
    assert mount_unit(path) == subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def test_mounts_are_units() -> None:
    (unit,) = mount_units(
        [{"path": "/mnt/a", "export": "/shared", "options": ["ro"]}], "store", ["nfsvers=4.2", "hard"]
    )
    assert unit["name"] == "mnt-a.mount"
    lines = unit["content"].splitlines()
    for line in (
        "What=store:/shared",
        "Where=/mnt/a",
        "Type=nfs4",
        "Options=nfsvers=4.2,hard,ro",
        "WantedBy=remote-fs.target",
    ):
        assert line in lines
    with pytest.raises(AnsibleFilterError, match="two mounts are at /mnt/a"):
        mount_units([{"path": "/mnt/a", "export": "/x"}, {"path": "/mnt/a", "export": "/y"}], "store", [])
    for bad in ({"path": "/", "export": "/x"}, {"path": "mnt", "export": "/x"}, {"path": "/mnt/a", "export": "x\ny"}):
        with pytest.raises(AnsibleFilterError, match="mount_units"):
            mount_units([bad], "store", [])
