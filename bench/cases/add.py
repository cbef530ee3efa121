# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One more host for a lab of two, and for a lab of seven: against bringing up a lab of one."""

from __future__ import annotations

from bench.figures import Goal, slower
from bench.session import Session

ABOUT = """\
**One more.** The count of workers in lab.yml is raised by one, and `labctl up` makes the host, runs its daemons and
tells the others of it (their firewall admits it). The baseline is `labctl up` of a lab of one host, which runs all of
Hadoop. The lab grows by a host each round, so N is the least of the rows' range."""

#: The lab grows by one a round, and must not get larger than the cases that follow want it.
MOST = 5


def to_three(session: Session) -> None:
    """From three hosts on."""
    _measure(session, 2, "three")


def to_eight(session: Session) -> None:
    """From eight hosts on."""
    _measure(session, 7, "eight")


def _measure(session: Session, workers: int, name: str) -> None:
    lab, one = session.hadoop(workers), session.lab("bench-one")

    def bring_up_one() -> None:
        session.note("bring up a lab of one host, s", one.up(0).wall)
        one.down()

    def add() -> None:
        if lab.workers < workers + MOST:
            session.note(f"add a host to {name} or more, s", lab.up(lab.workers + 1).wall)

    session.each_round(f"one more than {name}", bring_up_one, add)
    theirs, ours = session.median("bring up a lab of one host, s"), session.median(f"add a host to {name} or more, s")
    session.rows.append(
        slower(f"add a host to {name} or more", "s", "a lab of one host", theirs, ours, Goal("at most", 1.3))
    )
