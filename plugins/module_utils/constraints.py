# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: what a host keeps from Kubernetes that a normal host would give it.

Each has a name, and roles map names to settings that they apply then and only then. All of them are read from what
labctl itself does not change: a host whose read-only folders were made writable is still known as such a host.

Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

import os
from pathlib import Path

#: The bit of CAP_SYS_RESOURCE in a capability set. Source: linux/capability.h.
SYS_RESOURCE = 24
#: What kubeadm asks for of a control plane. Source: its preflight checks NumCPU and Mem.
CPUS, MEMORY = 2, 1700 * 1000**2

#: Constraint -> what it means, for people.
MEANING = {
    "cgroup_v1": "the kernel's cgroups are of version 1",
    "few_cpus": f"it has fewer than {CPUS} processors",
    "little_memory": f"it has less than {MEMORY // 1000**2} MB of memory",
    "no_bridge_filter": "its bridges do not pass through iptables",
    "no_sys_resource": "root lacks CAP_SYS_RESOURCE, so that no limit can be raised",
    "read_only_sys": "/proc/sys and the cgroups are read-only, as in a container",
    "swap": "it swaps",
}


def probe(root: Path = Path("/"), cpus: int = 0) -> list[str]:
    """The names of the constraints of this host, sorted. ``root`` is where its /proc and /sys are seen."""
    found = {
        "cgroup_v1": not (root / "sys/fs/cgroup/cgroup.controllers").exists(),
        "few_cpus": (cpus or os.cpu_count() or CPUS) < CPUS,
        "little_memory": _memory(root) < MEMORY,
        "no_bridge_filter": not (root / "proc/sys/net/bridge/bridge-nf-call-iptables").exists(),
        "no_sys_resource": not _bounding(root) >> SYS_RESOURCE & 1,
        "read_only_sys": _is_mount(root, "/proc/sys"),
        "swap": len((root / "proc/swaps").read_text(encoding="ascii").splitlines()) > 1,
    }
    return sorted(name for name, constrained in found.items() if constrained)


def _memory(root: Path) -> int:
    first = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()[0]
    return int(first.split()[1]) * 1024


def _bounding(root: Path) -> int:
    for line in (root / "proc/1/status").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("CapBnd:"):
            return int(line.split()[1], 16)
    return 0


def _is_mount(root: Path, point: str) -> bool:
    """Whether something is mounted there. A container's manager mounts /proc/sys on itself to make it read-only."""
    table = (root / "proc/1/mountinfo").read_text(encoding="utf-8", errors="replace")
    return any(line.split(" ")[4] == point for line in table.splitlines() if line)
