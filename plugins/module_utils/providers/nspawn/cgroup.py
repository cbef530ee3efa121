# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: a cgroup of its own per host in every hierarchy, where systemd is not there to make it.

nspawn makes its cgroups below the one it is started in. Hosts started from the same one would share them, and
stopping a service in one could kill its namesake in another. Source: cgroups(7), and the kernel's
Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from ...errors import ProviderError

#: Period of the CPU quota in microseconds, the kernel's own default.
PERIOD = 100_000


def hierarchies(mountinfo: str) -> list[Path]:
    """Where cgroup hierarchies are mounted, v1 and v2, from the text of /proc/self/mountinfo."""
    found = []
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        if rest.split(" ")[0] in ("cgroup", "cgroup2"):
            path = Path(fields.split(" ")[4])
            if path.is_relative_to("/sys/fs/cgroup") and path not in found:
                found.append(path)
    return found


def mounted() -> list[Path]:
    return hierarchies(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))


def group_name(lab_id: str, host: str) -> str:
    return f"labctl-{lab_id}-{host}"


def limits(memory: int | None, cpus: float | None) -> dict[str, str]:
    """Which file gets which value, for both versions: ``memory`` in bytes, ``cpus`` in cores, None for no limit."""
    quota = str(max(1000, int(cpus * PERIOD))) if cpus else ""
    return {
        "memory.limit_in_bytes": str(memory) if memory else "-1",
        "memory.max": str(memory) if memory else "max",
        "cpu.cfs_quota_us": quota or "-1",
        "cpu.max": f"{quota or 'max'} {PERIOD}",
    }


def make(name: str) -> list[Path]:
    """Make the group in every hierarchy, empty and ready to be joined; an old one of that name goes first."""
    remove(name)
    groups = []
    for hierarchy in mounted():
        group = hierarchy / name
        with contextlib.suppress(OSError):
            # v2 hands out controllers from parent to child; on v1 there is no such file.
            control = hierarchy / "cgroup.subtree_control"
            if control.exists():
                offered = (hierarchy / "cgroup.controllers").read_text(encoding="ascii").split()
                for controller in {"cpu", "memory", "pids"} & set(offered):
                    control.write_text(f"+{controller}", encoding="ascii")
        try:
            group.mkdir(exist_ok=True)
            for key in ("cpuset.cpus", "cpuset.mems"):
                # A new v1 cpuset has neither processors nor memory, and admits nobody.
                if (group / key).exists() and (hierarchy / "tasks").exists():
                    (group / key).write_text((hierarchy / key).read_text(encoding="ascii"), encoding="ascii")
        except OSError as exc:
            raise ProviderError(f"cgroup {group} cannot be made: {exc.strerror}") from exc
        groups.append(group)
    return groups


def set_limits(name: str, memory: int | None, cpus: float | None) -> list[str]:
    """Write the limits where the kernel has them; the names of those wanted that it does not have."""
    wanted = limits(memory, cpus)
    done = set()
    for hierarchy in mounted():
        for key, value in wanted.items():
            if not (hierarchy / name / key).exists():
                continue
            try:
                (hierarchy / name / key).write_text(value, encoding="ascii")
                done.add(key.split(".")[0])
            except OSError as exc:
                raise ProviderError(f"{key} of {name} cannot be set to {value}: {exc.strerror}") from exc
    return [kind for kind, limit in (("memory", memory), ("cpu", cpus)) if limit and kind not in done]


def processes(name: str) -> set[int]:
    """All processes in the group and below it, in any hierarchy."""
    pids: set[int] = set()
    for hierarchy in mounted():
        for folder, _, files in os.walk(hierarchy / name):
            if "cgroup.procs" in files:
                with contextlib.suppress(OSError):
                    pids |= {int(pid) for pid in (Path(folder) / "cgroup.procs").read_text(encoding="ascii").split()}
    return pids - {0}


def kill(name: str, seconds: float = 5) -> bool:
    """SIGKILL everything in the group until nothing is left; whether that came about in time."""
    deadline = time.monotonic() + seconds
    while pids := processes(name):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def remove(name: str) -> bool:
    """Remove the group and what a host made below it, in every hierarchy; whether there was any."""
    found = False
    for hierarchy in mounted():
        for folder, _, _ in os.walk(hierarchy / name, topdown=False):
            found = True
            # Just-ended processes keep a group busy for a moment.
            for _ in range(50):
                try:
                    Path(folder).rmdir()
                except FileNotFoundError:
                    pass
                except OSError:
                    time.sleep(0.02)
                    continue
                break
    return found


def of_lab(lab_id: str, folders: Iterable[Path] | None = None) -> list[str]:
    """Names of all groups of a lab."""
    prefix = group_name(lab_id, "")
    names = set()
    for hierarchy in mounted() if folders is None else folders:
        names |= {entry.name for entry in hierarchy.glob(f"{prefix}*")}
    return sorted(names)
