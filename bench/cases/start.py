# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What starting the command costs."""

from __future__ import annotations

import sys

from bench.figures import Goal, Row
from bench.session import LABCTL, Session, timed

ABOUT = """\
**Start-up.** Processor time of the whole process, user and system, as the kernel counts it for `wait4`. The
interpreter alone (`python -c pass`, same Python, same environment) stands beside it to show how much of it is not
labctl's. `tests/unit/cli/test_imports.py` keeps Ansible, Docker and libvirt out of commands that do not need them."""


def measure(session: Session) -> None:
    """CPU of `labctl --help`."""
    session.each_round(
        "start-up",
        lambda: session.note("python -c pass, CPU s", timed(sys.executable, "-c", "pass").cpu),
        lambda: session.note("labctl --help, CPU s", timed(LABCTL, "--help").cpu),
    )
    bare, ours = session.median("python -c pass, CPU s"), session.median("labctl --help, CPU s")
    session.rows.append(Row("`labctl --help`", "CPU s", "python -c pass", bare, ours, Goal("at most", 0.4, "labctl")))
