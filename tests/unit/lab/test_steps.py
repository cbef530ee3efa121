# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps side by side, interrupts among them, and what a lab's folder remembers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ProviderError
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab, ProviderSpec
from labctl.lab.interrupt import Interrupted
from labctl.lab.parallel import together
from labctl.lab.records import KEPT_NOOPS, KEPT_RUNS, MOST_RUNS, NOOP, Run, State, recorded

PROGRAM = r"""\
import os, subprocess, sys
from labctl.lab.interrupt import Interrupted, raise_on_signals
from labctl.lab.parallel import together
raise_on_signals()
def program():
    os.write(1, b"started\n")  # at once: threads share this output
    subprocess.run(["sleep", sys.argv[2]])
def supervisor():
    subprocess.Popen(["sleep", sys.argv[1]], start_new_session=True, stdout=subprocess.DEVNULL)
    os.write(1, b"started\n")  # at once: threads share this output
try:
    together({"program": program, "supervisor": supervisor, "other": program})
except Interrupted as exc:
    print("interrupted", exc)
"""


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    folder = tmp_path / ".labctl"
    folder.mkdir()
    return Lab("demo", ProviderSpec("nspawn"), (), (), {}, None, tmp_path / "lab.yml", folder)


def test_results_errors_and_times_by_name() -> None:
    def bad() -> None:
        raise ProviderError("no")

    results, errors, seconds = together({"good": lambda: 7, "bad": bad})
    assert results == {"good": 7}
    assert {name: str(error) for name, error in errors.items()} == {"bad": "no"}
    assert seconds.keys() == {"good", "bad"}


def children(words: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cmdline").read_bytes() == words.replace(" ", "\0").encode() + b"\0":
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_an_interrupt_ends_programs_but_not_what_left_our_session(number: signal.Signals) -> None:
    # Found by their arguments, which nobody else's programs have.
    seconds, ours = (f"9{kind}{number:02}{os.getpid():07}" for kind in (6, 7))
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, seconds, ours],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )
    assert process.stdout is not None
    try:
        for _ in range(3):
            assert process.stdout.readline() == "started\n"
        deadline = time.monotonic() + 20
        while len(children(f"sleep {ours}")) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        process.send_signal(number)
        assert process.communicate(timeout=30)[0] == f"interrupted {number.name}\n"
        assert children(f"sleep {ours}") == []
        assert len(children(f"sleep {seconds}")) == 1
    finally:
        process.kill()
        for pid in (*children(f"sleep {ours}"), *children(f"sleep {seconds}")):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_a_record_says_how_a_run_ended(lab: Lab) -> None:
    def record(run: Run) -> dict[str, object]:
        return dict(json.loads((run.folder / "run.json").read_text()))

    with recorded(lab, "up") as run:
        assert record(run)["result"] == "running"
        run.timing("hosts", 1.23456)
    assert (record(run)["result"], record(run)["timings"]["hosts"]) == ("done", 1.235)  # type: ignore[index]
    for error, result, message in (
        (ProviderError("no room"), "failed", "no room"),
        (Interrupted("SIGINT"), "interrupted", ""),
        (KeyError("s3cret"), "failed", "KeyError"),
    ):
        with pytest.raises(type(error)), recorded(lab, "up") as run:
            raise error
        assert (record(run)["result"], record(run)["message"]) == (result, message)
    assert (lab.lab_dir / "runs").stat().st_mode & 0o777 == 0o700


def made(lab: Lab, days: float, command: str = "up", count: int = 1) -> list[Path]:
    """Folders of runs that were made so many days ago."""
    began = time.strftime("%Y%m%dT%H%M%S", time.localtime(time.time() - days * 86400))
    folders = [lab.lab_dir / "runs" / f"{began}-{command}-{number:04x}" for number in range(count)]
    for folder in folders:
        folder.mkdir(parents=True)
    return folders


def test_the_last_runs_stay_and_those_of_the_last_days_up_to_a_number(lab: Lab) -> None:
    old, week = made(lab, 30, count=10), made(lab, 6, count=KEPT_RUNS - 4)
    Run(lab, "up")
    assert [folder.exists() for folder in week] == [True] * len(week)
    assert sum(folder.exists() for folder in old) == 3, "the last twenty stay, however old"
    made(lab, 1, count=MOST_RUNS)
    Run(lab, "up")
    assert len(list((lab.lab_dir / "runs").iterdir())) == MOST_RUNS


def test_runs_that_found_nothing_to_do_do_not_drive_out_others(lab: Lab) -> None:
    old = made(lab, 30, count=KEPT_RUNS - 1)
    idle = made(lab, 1, NOOP, 50)
    Run(lab, NOOP)
    assert all(folder.exists() for folder in old)
    assert sum(folder.exists() for folder in idle) == KEPT_NOOPS - 1


def test_what_a_killed_run_left_of_ansible_goes(lab: Lab) -> None:
    killed = Run(lab, "up")
    killed.private.mkdir()
    Run(lab, "up")
    assert not killed.private.exists()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"version": 2}', '{"version": 1, "lab": "another"}', "\x00"])
def test_a_state_file_that_cannot_be_read_proves_nothing(lab: Lab, damage: str) -> None:
    lab.lab_id(create=True)
    state = State(lab)
    state.set_checked("hadoop", True)
    state.set_noticed("hadoop")
    assert (State(lab).checked("hadoop"), State(lab).noticed("hadoop")) == (True, True)
    (lab.lab_dir / "state.json").write_text(damage)
    assert (State(lab).checked("hadoop"), State(lab).noticed("hadoop")) == (False, False)
