# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host keeps from Kubernetes, found in its /proc and /sys."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.constraints import MEANING, probe

NORMAL = {
    "proc/1/status": "Name:\tsystemd\nCapBnd:\t000001ffffffffff\n",
    "proc/1/mountinfo": "21 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n22 21 0:5 / /proc rw - proc proc rw\n",
    "proc/meminfo": "MemTotal:        4028440 kB\nMemFree: 1 kB\n",
    "proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n",
    "proc/sys/net/bridge/bridge-nf-call-iptables": "1\n",
    "sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
}


def host(root: Path, **changed: str | None) -> Path:
    for name, text in {**NORMAL, **{key.replace("__", "/"): value for key, value in changed.items()}}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is not None:
            path.write_text(text)
    return root


def test_a_normal_host_has_none(tmp_path: Path) -> None:
    assert probe(host(tmp_path), cpus=2) == []


@pytest.mark.parametrize(
    ("path", "text", "name"),
    [
        ("sys/fs/cgroup/cgroup.controllers", None, "cgroup_v1"),
        ("proc/meminfo", "MemTotal: 1000000 kB\n", "little_memory"),
        ("proc/sys/net/bridge/bridge-nf-call-iptables", None, "no_bridge_filter"),
        ("proc/1/status", "CapBnd:\t000001fffeffffff\n", "no_sys_resource"),
        ("proc/swaps", "Filename\n/dev/sda2 partition 1 0 -2\n", "swap"),
    ],
)
def test_each_is_found_alone(tmp_path: Path, path: str, text: str | None, name: str) -> None:
    assert probe(host(tmp_path, **{path.replace("/", "__"): text}), cpus=2) == [name]
    assert name in MEANING


def test_a_container_stays_one_when_its_folders_were_made_writable(tmp_path: Path) -> None:
    for mode in ("ro", "rw"):
        table = NORMAL["proc/1/mountinfo"] + f"23 22 0:5 /sys /proc/sys {mode} - proc proc {mode}\n"
        assert probe(host(tmp_path, proc__1__mountinfo=table), cpus=2) == ["read_only_sys"]


def test_one_processor_is_few(tmp_path: Path) -> None:
    assert probe(host(tmp_path), cpus=1) == ["few_cpus"]
