# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a no-op costs more with ten times the tasks and managed files; and its CPU."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from bench.figures import Goal, Row, growth
from bench.processes import Meter
from bench.session import ROOT, BenchLab, Session, timed

ABOUT = """\
**Growth.** Two labs of three hosts stand side by side and are asked in turn. One runs the collection as it is. The
other runs a copy of it, in a folder of its own, whose roles have ten times as many tasks, among them one that brings
ten times as many managed files to each host; `labctl up` has really run them there. **CPU per host** is what the
kernel counts for all processes of one worker during a no-op, ssh server, shell and systemd included, less what its
idle daemons use in the same time. *Warm* is the usual case. *Cold* has no ssh connection, no seals and no compiled
verifier left to build on, so that every file is read."""

WORKER = "worker1"
TIMES = 10


def measure(session: Session) -> None:
    """No-ops of the plain and of the enlarged lab, then CPU of one host."""
    plain = session.hadoop(2)
    copy = enlarged(session.folder / "collections", plain)
    large = session.lab("bench-large", {"PYTHONPATH": str(copy), "ANSIBLE_COLLECTIONS_PATH": str(copy)})
    print("  bringing up three hosts with ten times the tasks and files", flush=True)
    large.up(2)
    files = [_managed(lab) for lab in (plain, large)]
    tasks = [_tasks(root / "ansible_collections/labctl/stacks/roles") for root in (ROOT / ".dev", copy)]
    if files[1] < TIMES * files[0] or tasks[1] < TIMES * tasks[0]:
        session.problems.append(f"the enlarged lab is not ten times as large: files {files}, tasks {tasks}")
    large.noop()
    plain.noop()
    names = "no-op, as it is, s", f"no-op, {tasks[1]} tasks for {tasks[0]} and {files[1]} files for {files[0]}, s"

    def turn() -> None:
        # A no-op is short beside the noise of a machine: three of each, in turn.
        for _ in range(3):
            session.note(names[0], plain.noop().wall)
            session.note(names[1], large.noop().wall)

    session.each_round("growth", turn)
    large.down()
    small, big = (session.median(name) for name in names)
    ratio = growth(session.samples[names[0]], session.samples[names[1]])
    session.rows.append(Row("no-op with 10x tasks and files", "s", "as it is", small, big, Goal("at most", 1.2), ratio))
    _cpu(session, plain)


def _cpu(session: Session, lab: BenchLab) -> None:
    lab_id = lab.lab.lab_id()

    def cold() -> None:
        shutil.rmtree(lab.folder / ".labctl/verify", ignore_errors=True)
        for host in lab.lab.hosts:
            timed("ssh", "-F", lab.config, "-O", "exit", host.name, fine=(0, 255))
        meter = Meter(lab_id, WORKER)
        lab.noop()
        session.note("no-op, cold, CPU s on one host", meter.read())

    def warm() -> None:
        lab.noop()
        meter = Meter(lab_id, WORKER)
        lab.noop()
        session.note("no-op, warm, CPU s on one host", meter.read())

    try:
        session.each_round("CPU per host", cold, warm)
    except LookupError as exc:
        session.problems.append(str(exc))
        return
    for name, bound in (("cold", 0.15), ("warm", 0.03)):
        ours = session.median(f"no-op, {name}, CPU s on one host")
        session.rows.append(
            Row(f"no-op, {name}, per host", "CPU s", "none", None, ours, Goal("at most", bound, "labctl"))
        )


def _managed(lab: BenchLab) -> int:
    """How many files the manifests of a worker record."""
    return int(lab.on(WORKER, "cat /var/lib/labctl/manifest.d/*.json | grep -o '\"sha256\":' | wc -l"))


def _task_files(roles: Path) -> list[Path]:
    return sorted(path for path in roles.glob("*/tasks/*.yml") if path.name != "remove.yml")


def _tasks(roles: Path) -> int:
    """How many tasks the roles have, without those that remove."""
    return sum(len(yaml.safe_load(path.read_text()) or []) for path in _task_files(roles))


def enlarged(target: Path, lab: BenchLab) -> Path:
    """A copy of the collection with ten times the tasks and managed files; the folder to find it by."""
    stacks = target / "ansible_collections/labctl/stacks"
    for name in ("galaxy.yml", "meta", "roles", "playbooks", "plugins", "artifacts", "inventories"):
        source = ROOT / name
        stacks.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, stacks / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy2(source, stacks / name)
    more = (TIMES - 1) * _tasks(stacks / "roles") + TIMES
    count = (TIMES - 1) * _managed(lab) + TIMES
    files = [{"path": f"/etc/bench/{number}.conf", "content": f"number = {number}\n" * 100} for number in range(count)]
    tasks: list[dict[str, object]] = [
        {"name": "Bench | Bring files", "labctl.stacks.config_tree": {"role": "hdfs", "part": "bench", "files": files}}
    ]
    tasks += [
        {
            "name": f"Bench | Check number {number}",
            "ansible.builtin.assert": {"that": [f"{number} >= 0"], "quiet": True},
        }
        for number in range(more)
    ]
    configure = stacks / "roles/hdfs/tasks/configure.yml"
    configure.write_text(configure.read_text() + "\n" + yaml.safe_dump(tasks, sort_keys=False, width=1000))
    return target
