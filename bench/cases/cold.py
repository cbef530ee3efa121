# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From nothing to three hosts and Hadoop on them, with a warm store: labctl and shell scripts in turn."""

from __future__ import annotations

import json
from pathlib import Path

from ansible_collections.labctl.stacks.plugins.module_utils.providers import provider_for
from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Store

from bench.figures import Goal, slower
from bench.processes import memory_of_hosts
from bench.session import BASELINE, LABCTL, BenchLab, Session, base_image, store_tree, timed
from bench.timeline import timeline

ABOUT = """\
**Cold.** Three systemd-nspawn hosts from the same image, Hadoop's daemons from the same store with the same Java
options, up to the moment every DataNode and NodeManager is counted as live. The shell scripts
([hosts.sh](../bench/baseline/hosts.sh), [hadoop.sh](../bench/baseline/hadoop.sh)) start all at once and poll every
0.1 s at most; they check nothing, record nothing, harden nothing and could not be run twice. Memory is the
proportional set size of all processes of the hosts."""

#: Seconds that opponents take at most, from measurements by hand on the build machine (2026-11-22): two hosts greeted
#: by ssh after 1.5 s; four daemons of Hadoop, started at once, ready after 17 s. Here it is three and seven.
HOSTS_MARK, DAEMONS_MARK = 1.5 * 3 / 2, 17 * 7 / 4
WORK = Path("/var/lib/labctl/bench-baseline")


def measure(session: Session) -> None:
    """Hosts to ssh, daemons ready, memory. The lab of the last round stays, for the cases that come next."""
    tree = f"/var/lib/labctl/store/trees/{store_tree().name}"
    base = base_image()
    lab = session.lab("bench-hadoop")

    def shell() -> None:
        lab.down()
        try:
            hosts = timed(BASELINE / "hosts.sh", "up", WORK, base, Store().root).wall
            daemons = timed(BASELINE / "hadoop.sh", WORK, tree).wall
            session.note("shell: three hosts to ssh, s", hosts)
            session.note("shell: Hadoop ready, s", hosts + daemons)
            session.note("shell: memory, GiB", memory_of_hosts("labbench-"))
        finally:
            timed(BASELINE / "hosts.sh", "down", WORK)

    def ours() -> None:
        lab.write(2)
        session.note("labctl: three hosts to ssh, s", _hosts(lab))
        timed(LABCTL, "down", "--yes", cwd=lab.folder)
        session.note("labctl: Hadoop ready, s", lab.up(2).wall)
        session.note("labctl: memory, GiB", memory_of_hosts("labctl-"))

    session.each_round("cold", shell, ours)
    session.timeline = timeline(last_run(lab), events(lab))
    session.mark("shell: three hosts to ssh, s", HOSTS_MARK)
    session.mark("shell: Hadoop ready, s", DAEMONS_MARK)
    for what, unit, goal in (
        ("three hosts to ssh", "s", Goal("at most", 1.3)),
        ("Hadoop ready", "s", Goal("at most", 1.25, tolerated=1.6)),
        ("memory", "GiB", Goal("at most", 4, "labctl")),
    ):
        theirs, mine = session.median(f"shell: {what}, {unit}"), session.median(f"labctl: {what}, {unit}")
        session.rows.append(slower(f"cold: {what}", unit, "shell script", theirs, mine, goal))


def _hosts(lab: BenchLab) -> float:
    import time

    began = time.monotonic()
    provider_for(lab.lab).apply()
    return time.monotonic() - began


def last_run(lab: BenchLab) -> dict[str, object]:
    """The record of the lab's newest run."""
    record: dict[str, object] = json.loads(timed(LABCTL, "runs", "show", "last", "--json", cwd=lab.folder).out)
    return record


def events(lab: BenchLab) -> list[list[object]]:
    """What happened in the lab's newest run: seconds, kind, subject, text."""
    path = lab.folder / ".labctl/runs" / str(last_run(lab)["id"]) / "events.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]
