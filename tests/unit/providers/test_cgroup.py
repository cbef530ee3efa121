# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where cgroup hierarchies are, and what limits become."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import cgroup

HYBRID = """\
30 25 0:26 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:1 - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
40 25 0:31 / /mnt/other rw,relatime - cgroup2 cgroup2 rw
"""
UNIFIED = "35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_every_hierarchy_is_found_on_both_versions() -> None:
    base = Path("/sys/fs/cgroup")
    assert cgroup.hierarchies(HYBRID) == [base / "cpu,cpuacct", base / "memory", base / "unified"]
    assert cgroup.hierarchies(UNIFIED) == [base]


def test_limits_are_spelt_for_both_versions() -> None:
    assert cgroup.limits(2**30, 1.5) == {
        "memory.limit_in_bytes": "1073741824",
        "memory.max": "1073741824",
        "cpu.cfs_quota_us": "150000",
        "cpu.max": "150000 100000",
    }


def test_no_limit_takes_an_earlier_one_off() -> None:
    assert cgroup.limits(None, None) == {
        "memory.limit_in_bytes": "-1",
        "memory.max": "max",
        "cpu.cfs_quota_us": "-1",
        "cpu.max": "max 100000",
    }


def test_groups_of_another_lab_are_not_ours(tmp_path: Path) -> None:
    for name in ("labctl-0123456789abcdef-head", "labctl-fedcba9876543210-head", "user.slice"):
        (tmp_path / name).mkdir()
    assert cgroup.of_lab("0123456789abcdef", [tmp_path]) == ["labctl-0123456789abcdef-head"]
