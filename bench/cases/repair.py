# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One edited file on one of eight hosts: what `labctl up` takes, and that it leaves the others alone."""

from __future__ import annotations

import json

from bench import conventional
from bench.figures import Goal, slower
from bench.session import LABCTL, Session, timed

ABOUT = """\
**Repair.** A line is added to /etc/hadoop/log4j.properties of one of eight hosts, and `labctl up` puts it right. The
baseline is a no-op of labctl's plus one start of Ansible (`ansible-playbook` with a single ping of that host, tuned
as above). The run's own record must name that host alone, or the bench fails. The repair runs
the whole playbook on that host, and looks at every host again afterwards, which the baseline does not."""

HOST, FILE = "worker3", "/etc/hadoop/log4j.properties"


def measure(session: Session) -> None:
    """Time of the repair, alternating with what it is compared with."""
    lab = session.hadoop(7)
    lab.noop()

    def compare() -> None:
        noop = lab.noop().wall
        start = conventional.play(lab, playbook="start.yml", limit=HOST).wall
        session.note("no-op plus one start of Ansible, s", noop + start)

    def repair() -> None:
        lab.on(HOST, f"echo '# edited' >> {FILE}")
        session.note("repair of one file of eight hosts, s", lab.up().wall)
        record = json.loads(timed(LABCTL, "runs", "show", "last", "--json", cwd=lab.folder).out)
        touched = {host for one in record["playbooks"] for host, _ in one["changed"]}
        limits = {host for one in record["playbooks"] for host in one["limit"] or ["every host"]}
        if touched != {HOST} or limits != {HOST}:
            session.problems.append(f"the repair of {HOST} ran on {sorted(limits)} and changed {sorted(touched)}")

    session.each_round("repair", compare, repair)
    lab.noop()
    theirs, ours = (
        session.median("no-op plus one start of Ansible, s"),
        session.median("repair of one file of eight hosts, s"),
    )
    session.rows.append(
        slower(
            "one edited file on one of eight hosts",
            "s",
            "no-op and one start of Ansible",
            theirs,
            ours,
            Goal("at most", 2),
        )
    )
