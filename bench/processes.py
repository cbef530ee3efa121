# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the processes of local hosts use."""

from __future__ import annotations

import time
from pathlib import Path

CPU = Path("/sys/fs/cgroup/cpuacct")


def memory_of_hosts(marker: str) -> float:
    """GiB of proportional set size of all processes below supervisors whose command line names ``marker``."""
    parents, command = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(") ")[2].split()[1])
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                command[int(entry.name)] = words.decode(errors="replace")
            except OSError:
                continue
    ours = {pid for pid, text in command.items() if "systemd-nspawn" in text and marker in text}
    while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= more
    total = 0
    for pid in ours:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024**2


def cpu_of_host(lab_id: str, host: str) -> float | None:
    """CPU seconds of all processes that ever ran on a local host; None where this machine does not count them so."""
    for path in (CPU / f"labctl-{lab_id}-{host}/cpuacct.usage",):
        try:
            return int(path.read_text()) / 1e9
        except (OSError, ValueError):
            continue
    return None


class Meter:
    """CPU seconds that a host spends during something, less what its idle daemons spend in the same time."""

    def __init__(self, lab_id: str, host: str) -> None:
        self._place = (lab_id, host)
        before, began = self._now(), time.monotonic()
        time.sleep(2)
        self._idle = (self._now() - before) / (time.monotonic() - began)
        self._before, self._began = self._now(), time.monotonic()

    def _now(self) -> float:
        used = cpu_of_host(*self._place)
        if used is None:
            raise LookupError(f"no CPU accounting for host {self._place[1]} under {CPU}")
        return used

    def read(self) -> float:
        """What was spent since the meter was made."""
        spent, passed = self._now() - self._before, time.monotonic() - self._began
        return spent - self._idle * passed
