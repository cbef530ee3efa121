# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning for a thousand hosts: for a lab that was never up, and for one whose hosts all are well."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from bench.figures import Goal, Row
from bench.session import BASELINE, LABCTL, Session, timed

ABOUT = """\
**A thousand hosts.** `labctl plan`, the command as it is, on a lab.yml with 1,000 hosts. *New*: a lab that was never
up. *Converged*: each host was, so that it has to be asked; in place of the hosts, which no test machine can hold,
answers a program named `ssh` (bench/baseline/answering-ssh) that lets the real ssh client start and read the lab's
configuration, and then says at once that nothing drifted. So all of labctl's own work is in the figure, and of the
hosts' and the network's none. Memory is the peak of the largest process."""

HOSTS = 1000
ROLES = {"hdfs": b"manifest of hdfs", "yarn": b"manifest of yarn"}
CALM = "nothing to do"


def measure(session: Session) -> None:
    """Time and memory of `labctl plan`, new and converged."""
    new, converged = session.folder / "plan-new", session.folder / "plan-converged"
    for folder in (new, converged):
        folder.mkdir()
        (folder / "lab.yml").write_text(lab_text(HOSTS))
    remember(converged)
    env = {"PATH": f"{doubles(session.folder)}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

    def plan(folder: Path, name: str) -> None:
        took = timed(LABCTL, "plan", "--json", cwd=folder, env=env)
        answer = json.loads(took.out)
        if name == "converged" and (answer["stacks"][0]["hosts"] or answer["drift"] or answer["silent"]):
            raise SystemExit(f"the simulated lab is not converged:\n{took.out[:2000]}")
        if len(answer["hosts"]) != HOSTS:
            raise SystemExit(f"labctl planned {len(answer['hosts'])} hosts, not {HOSTS}")
        session.note(f"plan of {HOSTS} hosts, {name}, s", took.wall)
        session.note(f"plan of {HOSTS} hosts, {name}, MiB", took.memory)

    session.each_round("plan", lambda: plan(new, "new"), lambda: plan(converged, "converged"))
    for name in ("new", "converged"):
        for unit, bound in (("s", 5), ("MiB", 512)):
            ours = session.median(f"plan of {HOSTS} hosts, {name}, {unit}")
            session.rows.append(
                Row(f"plan of {HOSTS} hosts, {name}", unit, "none", None, ours, Goal("at most", bound, "labctl"))
            )


def lab_text(hosts: int) -> str:
    """A static lab: a head and workers, at addresses that RFC 2544 keeps for benchmarks."""
    lines = ["name: thousand", "provider: static", "stacks: [hadoop]", "hosts:"]
    for number in range(hosts):
        groups = (
            "hdfs_datanode, yarn_nodemanager" if number else "hdfs_namenode, yarn_resourcemanager, mapred_historyserver"
        )
        name = f"worker{number}" if number else "head"
        lines.append(f"  {name}: {{address: 198.18.{number // 250}.{number % 250 + 1}, groups: [{groups}]}}")
    return "\n".join(lines) + "\n"


def remember(folder: Path) -> None:
    """Make the lab folder what it is after a run that converged every host, by the code that writes it then."""
    from ansible_collections.labctl.stacks.plugins.module_utils.lab import load_lab
    from ansible_collections.labctl.stacks.plugins.module_utils.providers import provider_for
    from labctl.lab import digest
    from labctl.lab.locate import ensure_inventory
    from labctl.lab.records import State

    lab = load_lab(folder / "lab.yml")
    ensure_inventory(lab)
    digest.ensure_key(lab)
    hosts = provider_for(lab).apply()
    inputs = digest.inputs(lab, hosts, digest.lab_key(lab))
    manifests = {role: hashlib.sha256(text).hexdigest() for role, text in ROLES.items()}
    for host in lab.hosts:
        kept = lab.lab_dir / "manifests" / host.name
        kept.mkdir(parents=True)
        for role, sha in manifests.items():
            (kept / f"{role}.sha256").write_text(f"{sha}\n")
    state = State(lab)
    names = [host.name for host in lab.hosts]
    state.converged("hadoop", {name: inputs.of(name) for name in names}, names)
    state.left_behind(dict.fromkeys(names, manifests), {"secrets": inputs.secrets})
    state.set_checked("hadoop", True)


def doubles(folder: Path) -> Path:
    """A folder with the program that answers in the hosts' place."""
    target = folder / "doubles"
    target.mkdir()
    answer: dict[str, object] = {"manifests": {role: hashlib.sha256(text).hexdigest() for role, text in ROLES.items()}}
    answer |= {"drift": [], "seals": {}, "skipped": []}
    (target / "ssh").write_text((BASELINE / "answering-ssh").read_text().replace("ANSWER", json.dumps(answer)))
    (target / "ssh").chmod(0o755)
    return target
