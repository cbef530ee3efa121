# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's lock, among real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import LockedError
from labctl.lab.lock import holder_of, locked

HOLD = """\
import sys, time
from pathlib import Path
from labctl.lab.lock import locked
with locked(Path(sys.argv[1]), "labctl up hadoop"):
    print("held", flush=True)
    sys.stdin.read()
"""
COUNT = """\
import sys, time
from pathlib import Path
from ansible_collections.labctl.stacks.plugins.module_utils.errors import LockedError
from labctl.lab.lock import locked
folder, counter, done = Path(sys.argv[1]), Path(sys.argv[2]), 0
while done < 20:
    try:
        with locked(folder, "count"):
            value = int(counter.read_text() or 0)
            time.sleep(0.001)
            counter.write_text(str(value + 1))
            if value % 7 == 0:
                (folder / "lock").unlink()  # as `labctl down` does, while it holds it
        done += 1
    except LockedError:
        pass
"""


def start(code: str, *argv: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, argv)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )


def hold(folder: Path) -> subprocess.Popen[str]:
    process = start(HOLD, folder)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_that_is_held_names_its_holder(tmp_path: Path) -> None:
    process = hold(tmp_path)
    with pytest.raises(LockedError) as caught, locked(tmp_path, "labctl down"):
        pass
    holder = f"labctl up hadoop (pid {process.pid} on {os.uname().nodename}, since 20"
    assert str(caught.value).startswith(f"the lab is locked by {holder}")
    assert caught.value.hint == f"wait until it has ended, or stop it: kill -INT {process.pid}"
    assert caught.value.exit_code == 7
    found = holder_of(tmp_path)
    assert found is not None
    assert found.pid == process.pid
    process.communicate("")
    assert holder_of(tmp_path) is None
    with locked(tmp_path, "labctl down"):
        assert json.loads((tmp_path / "lock").read_text())["command"] == "labctl down"
    assert (tmp_path / "lock").read_text() == ""


def test_a_killed_holder_holds_nobody_up(tmp_path: Path) -> None:
    process = hold(tmp_path)
    process.kill()
    process.communicate()
    left = json.loads((tmp_path / "lock").read_text())
    assert left["pid"] == process.pid
    # Even where that pid is somebody's again: here, ours.
    (tmp_path / "lock").write_text(json.dumps(left | {"pid": os.getpid()}))
    assert holder_of(tmp_path) is None
    with locked(tmp_path, "labctl up"):
        pass


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\x00", b"[1]", b'{"pid": "x"}'])
def test_a_damaged_lock_file_is_a_lock_all_the_same(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lock").write_bytes(content)
    with locked(tmp_path, "labctl up"):
        (tmp_path / "lock").write_bytes(content)
        with pytest.raises(LockedError), locked(tmp_path, "labctl down"):
            pass


def test_only_one_at_a_time_also_when_the_file_is_removed_and_made_anew(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    folder = tmp_path / "lab"
    folder.mkdir()
    processes = [start(COUNT, folder, counter) for _ in range(4)]
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    assert counter.read_text() == "80"
