# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that the store runs: they end with us, whatever way that is."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.store import process

#: Starts a child, writes both pids, group and session, and waits.
PARENT = """\
import os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {child.pid} {os.getpgid(0)} {os.getsid(0)}")
time.sleep(60)
"""


def started(pids: Path) -> bool:
    return pids.exists() and len(pids.read_text().split()) == 4


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def ended(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def test_an_exception_ends_the_program_and_what_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    def watch() -> None:
        if started(pids):
            raise KeyboardInterrupt

    argv = [sys.executable, "-c", PARENT, str(pids)]
    with pytest.raises(KeyboardInterrupt):
        process.run(argv, tmp_path / "log", cwd=tmp_path, env=os.environ, watch=watch)
    parent, child, group, session = map(int, pids.read_text().split())
    assert ended(parent) and ended(child)
    # Its own group, so that a Ctrl-C at the terminal is ours to handle; our session, so that it is found.
    assert (group, session) == (parent, os.getsid(0))


def test_a_program_that_does_nothing_is_ended(tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match=r"did nothing for 1 s"):
        process.run(["sleep", "60"], tmp_path / "log", cwd=tmp_path, env=os.environ, stall=0.6, watch=lambda: 1)


def test_output_and_exit_code(tmp_path: Path) -> None:
    argv = ["sh", "-c", "echo out; echo err >&2; exit 3"]
    assert process.run(argv, tmp_path / "log", cwd=tmp_path, env={}) == 3
    assert (tmp_path / "log").read_text() == "out\nerr\n"
