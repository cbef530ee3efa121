# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One real host for tests of modules: run playbooks on it and look at it by ssh."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ansible_runner

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class Run:
    """What a playbook did: results by task name, and everything that was printed or kept of it."""

    rc: int
    stdout: str
    folder: Path
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Tasks that failed, in order; with ``ignore_errors`` the playbook went on.
    failed: list[str] = field(default_factory=list)

    def __getitem__(self, task: str) -> dict[str, Any]:
        return self.results[task]

    @property
    def changed(self) -> dict[str, bool]:
        return {task: bool(result.get("changed")) for task, result in self.results.items()}

    def everything(self) -> str:
        """Stdout and every file that ansible-runner recorded, events among them."""
        files = [path for path in (self.folder / "artifacts").rglob("*") if path.is_file()]
        return self.stdout + "".join(path.read_text(errors="replace") for path in files)


class OneHost:
    """A running host of a lab, with its inventory."""

    def __init__(self, name: str, inventory: Path, lab_dir: Path, scratch: Path) -> None:
        self.name = name
        self.inventory = inventory
        self.lab_dir = lab_dir
        self.scratch = scratch

    def ssh(self, command: str, *, check: bool = True) -> str:
        """Run a shell command on the host as root and return its stdout."""
        argv = ["ssh", "-F", str(self.lab_dir / "ssh/config"), self.name, command]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: exit code {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def manifest(self, role: str) -> dict[str, Any]:
        """The role's manifest on the host, {} where there is none."""
        text = self.ssh(f"cat /var/lib/labctl/manifest.d/{role}.json 2>/dev/null", check=False)
        return dict(json.loads(text)) if text else {}

    def run_playbook(self, tasks: str, *args: str) -> Run:
        """Run the tasks (YAML, each named) with ansible-runner and these further arguments of ansible-playbook."""
        folder = self.scratch / uuid.uuid4().hex
        folder.mkdir(mode=0o700)
        header = f"- hosts: {self.name}\n  gather_facts: false\n  tasks:\n"
        playbook = folder / "play.yml"
        playbook.write_text(header + "".join(f"    {line}\n" for line in tasks.strip("\n").splitlines()))
        environment = {
            "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".dev"),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_HOME": str(folder / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        done = ansible_runner.run(
            private_data_dir=str(folder),
            playbook=str(playbook),
            inventory=str(self.inventory),
            cmdline=" ".join(args),
            envvars=environment,
            quiet=True,
            settings={"pexpect_timeout": 1},
        )
        run = Run(done.rc, done.stdout.read(), folder)
        for event in done.events:
            if event["event"] in ("runner_on_ok", "runner_on_failed"):
                run.results[event["event_data"]["task"]] = event["event_data"]["res"]
            if event["event"] == "runner_on_failed":
                run.failed.append(event["event_data"]["task"])
        return run
