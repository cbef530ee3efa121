# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real runs of ansible-playbook, on this machine as the only host."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from labctl.ansible.runner import Playbook, run_playbook
from labctl.lab.events import Event

TASKS = """\
- hosts: all
  gather_facts: false
  tasks:
    - name: Look around
      ansible.builtin.command: {argv: [sh, -c, 'env; pwd']}
      register: seen
    - name: Show it
      ansible.builtin.debug: {var: seen.stdout_lines}
    - name: Fail on one
      ansible.builtin.fail: {msg: "no luck, {{ inventory_hostname }}"}
      when: inventory_hostname == 'two'
    - name: Go on with the others
      ansible.builtin.command: {argv: ['true']}
"""
INVENTORY = """\
all:
  hosts: {one: {}, two: {}}
  vars: {ansible_connection: local, ansible_python_interpreter: "%s"}
"""


def playbook(tmp_path: Path, tasks: str) -> Playbook:
    (tmp_path / "play.yml").write_text(tasks, encoding="utf-8")
    (tmp_path / "hosts.yml").write_text(INVENTORY % sys.executable, encoding="utf-8")
    return Playbook(str(tmp_path / "play.yml"), tmp_path / "hosts.yml", 2, "run-of-a-test", tmp_path / "private")


def test_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A stranger's settings in the current folder and in the environment, where PATH knows no ansible-playbook.
    (tmp_path / "ansible.cfg").write_text("[defaults]\nforks = nonsense\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("ANSIBLE_CALLBACK_PLUGINS", "/nowhere/of/a/stranger")
    monkeypatch.setenv("ANSIBLE_STDOUT_CALLBACK", "of_a_stranger")
    monkeypatch.setenv("ANSIBLE_GATHERING", "smart")
    heard: list[Event] = []
    outcome = run_playbook(playbook(tmp_path, TASKS), heard.append)
    assert (outcome.rc, outcome.ok, outcome.hosts, outcome.tasks) == (2, False, ("one", "two"), 4)
    assert [(failure.host, failure.task, failure.message) for failure in outcome.failures] == [
        ("two", "Fail on one", "no luck, two")
    ]
    assert ("one", "Go on with the others") in outcome.changes
    said = "\n".join(outcome.messages)
    assert "LABCTL_RUN=run-of-a-test" in said
    assert "ANSIBLE_GATHERING=explicit" in said
    assert "stranger" not in said
    assert not (tmp_path / "private").exists(), "nothing of what Ansible was told or answered is left"
    assert "Go on with the others" in [event.subject for event in heard if event.kind == "task"]


def test_a_playbook_that_is_not_there(tmp_path: Path) -> None:
    wanted = playbook(tmp_path, TASKS)
    (tmp_path / "play.yml").unlink()
    outcome = run_playbook(wanted, lambda event: None)
    assert not outcome.ok
    assert "could not be found" in " ".join(outcome.errors)


def test_an_inventory_that_cannot_be_read(tmp_path: Path) -> None:
    wanted = playbook(tmp_path, TASKS)
    wanted.inventory.write_text("plugin: labctl.stacks.nosuch\n", encoding="utf-8")
    outcome = run_playbook(wanted, lambda event: None)
    assert not outcome.ok
    assert "inventory" in " ".join(outcome.errors).lower()


SLEEPER = """\
import sys
from pathlib import Path
from labctl.ansible.runner import Playbook, run_playbook
from labctl.lab.interrupt import Interrupted, raise_on_signals
raise_on_signals()
folder = Path(sys.argv[1])
wanted = Playbook(str(folder / "play.yml"), folder / "hosts.yml", 2, sys.argv[2], folder / "private")
try:
    run_playbook(wanted, lambda event: print(event.subject, flush=True))
except Interrupted as exc:
    print("interrupted", exc, (folder / "private").exists())
"""


SLEEP = """\
- hosts: all
  gather_facts: false
  tasks:
    - name: Sleep
      ansible.builtin.command: {argv: [sleep, '977']}
"""


def marked(run_id: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"LABCTL_RUN={run_id}".encode() in (entry / "environ").read_bytes().split(
                b"\0"
            ):
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def wait_until(condition: object, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=lambda n: n.name)
@pytest.mark.parametrize("moment", ["start", "task"])
def test_no_process_is_left_behind(tmp_path: Path, number: signal.Signals, moment: str) -> None:
    run_id = f"{number.name}-{moment}-{os.getpid()}"
    playbook(tmp_path, SLEEP)
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, str(tmp_path), run_id],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )
    if moment == "start":
        wait_until(lambda: marked(run_id))
    else:
        wait_until(lambda: sum(line.startswith("sleep 977") for line in marked(run_id)) == 2)
    process.send_signal(number)
    said = process.communicate(timeout=60)[0]
    if number is not signal.SIGKILL:
        assert said.splitlines()[-1] == f"interrupted {number.name} False"
        assert marked(run_id) == []
    else:
        # Nobody is there to wait for it, so it may take Ansible a moment to end.
        wait_until(lambda: marked(run_id) == [])
