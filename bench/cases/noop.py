# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second `labctl up`: against bare ssh that hashes the same files, and a conventional playbook."""

from __future__ import annotations

import json

from bench import conventional
from bench.figures import Goal, Row, faster
from bench.session import BASELINE, LABCTL, BenchLab, Session, timed

ABOUT = """\
**No-op.** A second `labctl up` on a lab that is as it should be. Three opponents, all on the very same hosts:

- *Bare ssh* ([hash.sh](../bench/baseline/hash.sh)): one new connection per host, all at once, no shared connection
  and no cache, `sha256sum --check` of each file that labctl's manifests record there. It looks at content only;
  labctl also looks at owners, modes, links, stray files, packages, users, units and whether services answer. What
  labctl takes more than its own start (`labctl --version`) is compared.
- *Tuned Ansible*: `ansible-playbook` with pipelining, ControlPersist (connections are warm), forks for all hosts, no
  fact gathering, a short internal poll interval, on a frozen playbook of 40 tasks
  ([conventional](../bench/baseline/conventional/README.md)) that installs, configures and runs the same product with
  Ansible's own modules. It is itself converged: the bench fails unless it reports changed=0.
- *mitogen*: the same playbook with `mitogen_linear`, which keeps Python running on the hosts for the length of a
  play.

Each round runs all of them, one after the other; the daemons of both installations run all the while."""

#: Seconds a task takes tuned Ansible on one of several hosts, at most: 20 template tasks took two hosts 10.5 s by hand
#: on the build machine (2026-11-22, pipelining).
TASK_MARK = 10.5 / 20 / 2


def three(session: Session) -> None:
    """Three hosts."""
    _measure(session, session.hadoop(2))


def eight(session: Session) -> None:
    """Eight hosts."""
    _measure(session, session.hadoop(7))


def _measure(session: Session, lab: BenchLab) -> None:
    size = f"{lab.size} hosts"
    lists = session.folder / f"hashes-{lab.size}"
    lists.mkdir()
    for host in (host.name for host in lab.lab.hosts):
        (lists / host).write_text(managed_files(lab, host))
    print(f"  {size}: converging them the conventional way as well", flush=True)
    conventional.play(lab)
    second = conventional.play(lab)
    _check_calm(session, second.out)
    conventional.play(lab, mitogen=True)
    lab.noop()
    tasks = conventional.counts(second.out)["ok"]

    def ansible(name: str, *, mitogen: bool) -> None:
        took = conventional.play(lab, mitogen=mitogen)
        _check_calm(session, took.out)
        session.note(f"{name}, {size}, s", took.wall)

    session.each_round(
        f"no-op, {size}",
        lambda: session.note(f"labctl up, nothing to do, {size}, s", lab.noop().wall),
        lambda: session.note("labctl --version, s", timed(LABCTL, "--version").wall),
        lambda: session.note(f"bare ssh, {size}, s", timed(BASELINE / "hash.sh", lab.config, lists).wall),
        lambda: ansible("tuned Ansible", mitogen=False),
        lambda: ansible("mitogen", mitogen=True),
    )
    session.mark(f"tuned Ansible, {size}, s", TASK_MARK * tasks)
    session.mark(f"mitogen, {size}, s", session.median(f"tuned Ansible, {size}, s"))
    ours = session.median(f"labctl up, nothing to do, {size}, s")
    bare, start = session.median(f"bare ssh, {size}, s"), session.median("labctl --version, s")
    net = ours - start
    session.rows += [
        Row(f"no-op, {size}", "s", "none", None, ours, Goal("at most", 1, "labctl")),
        Row(f"no-op less start, {size}", "s", "bare cold ssh", bare, net, Goal("at most", 1.5), net / bare),
        faster(
            f"no-op, {size}",
            "s",
            "tuned Ansible",
            session.median(f"tuned Ansible, {size}, s"),
            ours,
            Goal("at least", 50),
        ),
        faster(f"no-op, {size}", "s", "mitogen", session.median(f"mitogen, {size}, s"), ours, Goal("at least", 10)),
    ]


def _check_calm(session: Session, out: str) -> None:
    found = conventional.counts(out)
    if not found or found.get("changed") or found.get("failed") or found.get("unreachable"):
        problem = f"the conventional playbook is not a no-op: {found}"
        if problem not in session.problems:
            session.problems.append(problem)


def managed_files(lab: BenchLab, host: str) -> str:
    """Lines for `sha256sum --check`: every file whose plain digest a manifest on the host records."""
    lines = set()
    for text in lab.on(host, "cat /var/lib/labctl/manifest.d/*.json").splitlines():
        sections = json.loads(text)["sections"].values()
        for record in (record for section in sections for record in section.get("files", [])):
            if "sha256" in record:
                lines.add(f"{record['sha256']}  {record['path']}")
    if not lines:
        raise SystemExit(f"host {host} has no manifest")
    return "\n".join(sorted(lines)) + "\n"
