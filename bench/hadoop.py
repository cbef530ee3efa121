#!/usr/bin/env python3
# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures `labctl up hadoop` against hand-written shell scripts, turn by turn on one machine, and prints the ratios.

usage: bench/hadoop.py [--rounds N] [--write FILE]     (root; the store and the image are made first and not counted)

Three rows: three hosts to ssh; all daemons of Hadoop ready on three hosts; the memory of hosts and daemons. The check
has a time line of its own. Both sides use the same image, store, Java options and kind of hosts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / ".dev"))

from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab, load_lab  # noqa: E402
from ansible_collections.labctl.stacks.plugins.module_utils.providers import provider_for  # noqa: E402
from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import image  # noqa: E402
from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import catalogue  # noqa: E402
from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Store  # noqa: E402

LABCTL = Path(sys.executable).with_name("labctl")
BASELINE = ROOT / "bench/baseline"
PAGE = """\
# Performance

Written by `bench/hadoop.py --write`. `make bench` measures labctl and a hand-written, parallel shell script in turn on
one machine: three systemd-nspawn hosts from the same image, Hadoop's daemons from the same store with the same Java
options. The shell script stands in [bench/baseline](../bench/baseline). Times are of whole commands.

"""
LAB = """\
name: bench-hadoop
provider: nspawn
hosts:
  head: {groups: [hdfs_namenode, yarn_resourcemanager, mapred_historyserver]}
  worker: {count: 2, groups: [hdfs_datanode, yarn_nodemanager]}
stacks: [hadoop]
"""


def seconds(action: Callable[[], object]) -> float:
    start = time.monotonic()
    action()
    return time.monotonic() - start


def run(*argv: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run([str(word) for word in argv], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{argv[0]} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def memory_of_hosts(marker: str) -> float:
    """GiB of proportional set size of all processes below supervisors whose command line names ``marker``."""
    parents, command = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(") ")[2].split()[1])
                command[int(entry.name)] = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
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


class Rounds:
    """The two sides in turn; each leaves nothing behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec = folder / "lab.yml"
        self.spec.write_text(LAB)
        self.resolved = Store().resolve(catalogue("hadoop"))
        self.image = image.ensure(image.recipe_for("debian-13", ("hadoop",)), lambda _host, _step: None)
        self.work = Path("/var/lib/labctl") / "bench-baseline"
        self.rows: dict[str, list[float]] = {}

    def lab(self) -> Lab:
        return load_lab(self.spec)

    def note(self, row: str, value: float) -> None:
        self.rows.setdefault(row, []).append(value)
        print(f"  {row}: {value:.2f}", flush=True)

    def baseline(self) -> None:
        hosts, hadoop = BASELINE / "hosts.sh", BASELINE / "hadoop.sh"
        tree = f"/var/lib/labctl/store/trees/{self.resolved.digest}"
        try:
            up = seconds(lambda: run(hosts, "up", self.work, self.image, Store().root))
            daemons = seconds(lambda: run(hadoop, self.work, tree))
            self.note("shell: hosts to ssh, s", up)
            self.note("shell: daemons ready, s", up + daemons)
            self.note("shell: memory, GiB", memory_of_hosts("labbench-"))
        finally:
            run(hosts, "down", self.work)

    def labctl(self, *, check: bool) -> None:
        try:
            self.note("labctl: hosts to ssh, s", seconds(lambda: provider_for(self.lab()).apply()))
            run(LABCTL, "down", "--yes", cwd=self.folder)
            self.note("labctl: daemons ready, s", seconds(lambda: run(LABCTL, "up", "--skip-check", cwd=self.folder)))
            self.note("labctl: memory, GiB", memory_of_hosts("labctl-"))
            self.note("labctl: second up, s", seconds(lambda: run(LABCTL, "up", "--skip-check", cwd=self.folder)))
            if check:
                self.note("labctl: check, s", seconds(lambda: run(LABCTL, "check", cwd=self.folder)))
        finally:
            run(LABCTL, "down", "--yes", cwd=self.folder)

    def table(self) -> str:
        middle = {row: statistics.median(values) for row, values in self.rows.items()}
        lines = ["| what | shell | labctl | ratio | goal |", "|---|---|---|---|---|"]
        for what, goal in (("hosts to ssh, s", "1.3"), ("daemons ready, s", "1.6"), ("memory, GiB", "under 4 GiB")):
            shell, ours = middle[f"shell: {what}"], middle[f"labctl: {what}"]
            lines.append(f"| {what} | {shell:.2f} | {ours:.2f} | {ours / shell:.2f} | {goal} |")
        for what in ("second up, s", "check, s"):
            if f"labctl: {what}" in middle:
                lines.append(f"| {what} | | {middle[f'labctl: {what}']:.2f} | | |")
        return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path, help="a Markdown file for the table, such as docs/performance.md")
    parser.add_argument("--no-check", dest="check", action="store_false", help="leave the check's time line out")
    options = parser.parse_args()
    rounds = options.rounds
    folder = Path(tempfile.mkdtemp(prefix="labctl-bench-"))
    try:
        bench = Rounds(folder)
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", flush=True)
            bench.baseline()
            bench.labctl(check=options.check)
        machine = f"{os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}"
        report = f"Median of {rounds}; {machine}; {datetime.now(UTC):%Y-%m-%d}.\n\n{bench.table()}\n"
        print("\n" + report)
        if options.write:
            options.write.write_text(PAGE + report)
        print("\n" + json.dumps(bench.rows))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
