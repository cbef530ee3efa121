# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: what nspawn hosts need of a machine, and what to do where it is not there."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from ...errors import Finding
from ..command import find

#: Program -> the Debian package it is in.
PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "iptables": "iptables",
    "iptables-restore": "iptables",
    "mount": "mount",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
#: Further ones for building an image.
BUILD_PROGRAMS = {"mmdebstrap": "mmdebstrap", "setpriv": "util-linux", "unshare": "util-linux"}
KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp")
MIB = 2**20
#: What a host takes that says nothing of its memory, and on disk before anything is installed in it.
HOST_MEMORY, HOST_DISK = 256 * MIB, 256 * MIB
IMAGE_DISK = 1024 * MIB


def machine() -> list[Finding]:
    """Findings that make all others pointless."""
    if not sys.platform.startswith("linux"):
        return [Finding("machine", f"nspawn runs on Linux, not on {platform.system()}", "take provider static")]
    if os.geteuid() != 0:
        return [Finding("rights", "making hosts needs root", "run the same command with sudo")]
    return []


def programs(build: bool) -> list[Finding]:
    """A finding per missing program, and for the keys that Debian's archive is signed with."""
    wanted = PROGRAMS | (BUILD_PROGRAMS if build else {})
    missing = {name: package for name, package in wanted.items() if find(name) is None}
    findings = [
        Finding(f"program {name}", "not installed", f"apt-get install {package}") for name, package in missing.items()
    ]
    if build and not any(Path(keyring).exists() for keyring in KEYRINGS):
        findings.append(
            Finding("Debian's archive keys", "not installed", "apt-get install debian-archive-keyring"),
        )
    return findings


def kernel() -> list[Finding]:
    """Whether the kernel has overlayfs, built in or as a module."""
    known = Path("/proc/filesystems").read_text(encoding="ascii").split()
    modules = Path("/lib/modules") / platform.release()
    if "overlay" in known or any(modules.glob("kernel/fs/overlayfs/overlay.ko*")):
        return []
    return [Finding("kernel", "has no overlayfs", "boot a kernel that has it, such as any of Debian's")]


def file_system_of(path: Path, mountinfo: str) -> str:
    """The type of the file system a path lies on, from the text of /proc/self/mountinfo."""
    best, kind = "", ""
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        point = fields.split(" ")[4]
        # The last of several mounts on one point is the one that is seen.
        if path.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, rest.split(" ")[0]
    return kind


def overlay_support(state_root: Path, mountinfo: str | None = None) -> list[Finding]:
    """An overlay's upper layer cannot lie on another overlay, as in a container."""
    text = Path("/proc/self/mountinfo").read_text(encoding="utf-8") if mountinfo is None else mountinfo
    kind = file_system_of(state_root, text)
    if kind not in ("overlay", "nfs", "nfs4", "cifs", "vfat"):
        return []
    return [Finding(str(state_root), f"lies on {kind}, which cannot hold hosts", "mount ext4, xfs or btrfs there")]


def available_memory(meminfo: str) -> int:
    """MemAvailable in bytes, from the text of /proc/meminfo."""
    lines = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    return int(lines.get("MemAvailable", lines.get("MemFree", "0")).split()[0]) * 1024


def memory(limits: Iterable[int | None], available: int | None = None) -> list[Finding]:
    """Whether hosts yet to be started fit; ``limits`` are theirs in bytes, None where there is none."""
    wanted = sum(limit or HOST_MEMORY for limit in limits)
    if available is None:
        available = available_memory(Path("/proc/meminfo").read_text(encoding="ascii"))
    if wanted <= available:
        return []
    what = f"the hosts may take {wanted // MIB} MiB, {available // MIB} MiB are free"
    return [Finding("memory", what, "lower the hosts' memory in lab.yml, or end other programs")]


def free_disk(path: Path) -> tuple[int, int]:
    """Device and free bytes of where a path is or will be."""
    while not path.exists():
        path = path.parent
    found = os.statvfs(path)
    return path.stat().st_dev, found.f_bavail * found.f_frsize


def disk(wanted: Mapping[Path, int]) -> list[Finding]:
    """Whether there is room: bytes wanted by path; paths on one file system count together."""
    sums: dict[int, tuple[Path, int, int]] = {}
    for path, size in wanted.items():
        device, free = free_disk(path)
        first, before, _ = sums.get(device, (path, 0, 0))
        sums[device] = (first, before + size, free)
    return [
        Finding(str(path), f"{size // MIB} MiB wanted, {free // MIB} MiB free", "make room, or set LABCTL_CACHE_DIR")
        for path, size, free in sums.values()
        if size > free
    ]
