# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""No command loads Ansible, Docker or libvirt before it needs them, and starting the command is cheap."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from labctl.cli import cli

HEAVY = {"ansible", "ansible_runner", "docker", "libvirt", "jinja2"}
PROGRAM = (
    "import json, sys; from labctl.cli import run; run(json.loads(sys.argv[1])); "
    "print('LOADED', json.dumps(sorted({name.split('.')[0] for name in sys.modules})), file=sys.stderr)"
)
#: Commands that look at a lab and change nothing, and what all of them do before they act.
READING = (["plan"], ["plan", "--json"], ["diff"], ["status"], ["inventory"], ["runs", "list"], ["logs"], ["version"])
GROUPS = ("hdfs_namenode, yarn_resourcemanager, mapred_historyserver", "hdfs_datanode, yarn_nodemanager")
LAB = "name: demo\nprovider: static\nhosts:\n  one: {address: 192.0.2.1}\n"


def loaded(argv: list[str], folder: Path) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(argv)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"PYTHONPATH": ":".join(sys.path), "HOME": str(folder), "PATH": "/usr/bin:/bin"},
    )
    marked = [line for line in done.stderr.splitlines() if line.startswith("LOADED ")]
    assert marked, done.stderr
    return set(json.loads(marked[-1].removeprefix("LOADED ")))


def commands() -> list[str]:
    return sorted(str(one.name or one.callback.__name__) for one in cli.registered_commands if one.callback)


@pytest.mark.parametrize("command", commands())
def test_help_of_a_command_loads_nothing_heavy(command: str, tmp_path: Path) -> None:
    assert not loaded([command, "--help"], tmp_path) & HEAVY


@pytest.mark.parametrize("argv", READING, ids=" ".join)
def test_commands_that_only_look_load_no_ansible(argv: list[str], tmp_path: Path) -> None:
    (tmp_path / "lab.yml").write_text(LAB)
    found = loaded(argv, tmp_path)
    assert not found & HEAVY
    assert "labctl" in found


@pytest.mark.parametrize("argv", [["up"], ["check"], ["down", "--yes"]], ids=" ".join)
def test_a_lab_file_that_is_wrong_is_refused_before_anything_heavy_is_loaded(argv: list[str], tmp_path: Path) -> None:
    (tmp_path / "lab.yml").write_text(LAB.replace("hosts", "hsots"))
    assert not loaded(argv, tmp_path) & HEAVY


def test_help_takes_less_than_0_4_s_of_processor_time(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "from labctl.cli import main; main(['--help'])"]
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(argv, check=True, capture_output=True, cwd=tmp_path, env={"PYTHONPATH": ":".join(sys.path)})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < 0.4, "the least of three: what else the machine does only adds"


def test_version_says_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from labctl.cli import main; main(['--version'])"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.startswith("labctl ") and done.stdout.count("\n") == 1 and done.stderr == ""


def test_plan_of_a_lab_that_was_never_up_asks_no_host(tmp_path: Path) -> None:
    hosts = "".join(f"  h{n}: {{address: 192.0.2.{n}, groups: [{groups}]}}\n" for n, groups in enumerate(GROUPS, 1))
    (tmp_path / "lab.yml").write_text(f"name: demo\nprovider: static\nstacks: [hadoop]\nhosts:\n{hosts}")
    (tmp_path / "ssh").write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\nexit 255\n")
    (tmp_path / "ssh").chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", "from labctl.cli import main; main(['plan'])"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PYTHONPATH": ":".join(sys.path), "HOME": str(tmp_path), "PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert done.stdout.endswith("stack hadoop: run on h1, h2\n  all of them: not converged yet\n")
    assert not (tmp_path / "asked").exists()
