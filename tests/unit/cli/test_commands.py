# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command but up: complete output and exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import Finding
from ansible_collections.labctl.stacks.plugins.module_utils.lab import load_lab
from labctl.ansible.outcome import Failure
from labctl.cli.options import hosts_and_groups, stacks
from labctl.lab.lock import locked
from unit.cli.done import LAB, Done
from unit.lab.doubles import World, failed, ok

Labctl = Callable[..., Done]
COMMANDS = [
    "init", "up", "plan", "diff", "scale", "lock", "status", "check", "demo", "ssh", "exec", "logs", "inventory",
    "replay", "down", "doctor", "version", "runs", "artifacts", "bundle",
]  # fmt: skip
NO_LAB = (
    "error: there is no lab here: neither lab.yml nor .labctl/lab.yml\n"
    "hint: labctl up STACK makes one, labctl init writes a lab.yml to start from\n"
)


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in ssh's place: says how it was called, and ends with the code in its folder's file ``code``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = f'#!/bin/sh\nprintf "<%s>" "$@"; echo; echo trouble >&2; exit $(cat {folder}/code 2>/dev/null || echo 0)\n'
    (folder / "ssh").write_text(script, encoding="utf-8")
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


@pytest.fixture
def running(labctl: Labctl, world: World, lab: Path) -> Path:
    """A lab that is up, with an ssh configuration."""
    assert labctl("up").code == 0
    (lab / ".labctl/ssh").mkdir()
    (lab / ".labctl/ssh/config").touch()
    world.calls.clear()
    return lab


def test_help_names_every_command(labctl: Labctl) -> None:
    listed = labctl("--help")
    assert listed.code == 0
    commands = [
        line.split()[0] for line in listed.out.partition("Commands:\n")[2].splitlines() if line.startswith("  ")
    ]
    assert commands[:-1] == COMMANDS
    assert labctl() == listed == labctl("-h")
    for command in commands[:-1]:
        assert labctl(command, "--help").out.startswith(f"Usage: labctl {command} ")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from labctl.cli import run; run(['--help']); print(sorted({m.split('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    loaded = done.stdout.splitlines()[-1]
    for heavy in ("ansible", "ansible_runner", "pydantic", "rich", "yaml"):
        assert f"'{heavy}'" not in loaded


@pytest.mark.parametrize("command", ["status", "check", "inventory", "logs", "ssh head", "exec -- id"])
def test_commands_that_need_a_lab(labctl: Labctl, world: World, command: str) -> None:
    assert labctl(*command.split()) == Done(2, "", NO_LAB)


def test_status(labctl: Labctl, world: World, running: Path) -> None:
    world.states[running / "lab.yml"]["worker2"] = "stopped"
    with locked(running / ".labctl", "labctl up"):
        done = labctl("status")
    assert done == Done(
        0,
        f"""\
Lab demo: hadoop, on nspawn, from HERE/lab.yml
In use by {done.out.partition("In use by ")[2].partition(chr(10))[0]}

HOST     STATE    ADDRESS   MEMORY    GROUPS
head     running  10.9.0.2  2GiB      hdfs_namenode, yarn_resourcemanager, mapred_historyserver
worker1  running  10.9.0.3  no limit  hdfs_datanode, yarn_nodemanager
worker2  stopped  10.9.0.4  no limit  hdfs_datanode, yarn_nodemanager

SERVICE               ADDRESS                 STATE
HDFS NameNode         http://10.9.0.2:9870/   answers
YARN ResourceManager  http://10.9.0.2:8088/   answers
MapReduce history     http://10.9.0.2:19888/  answers
""",
        "",
    )
    assert f"labctl up (pid {os.getpid()} on " in done.out


def test_status_of_a_lab_that_is_not_up(labctl: Labctl, world: World, lab: Path) -> None:
    done = labctl("status")
    assert done.err == "\nThe lab is not up: labctl up\n"
    assert "head     absent  -        2GiB" in done.out
    assert not (lab / ".labctl").exists()


def test_status_tells_what_a_host_keeps_from_its_stacks(labctl: Labctl, running: Path) -> None:
    kept = running / ".labctl/manifests/head"
    kept.mkdir(parents=True, exist_ok=True)
    (kept / "constraints").write_text("cgroup_v1 swap\n")
    assert "HOST  CONSTRAINTS\nhead  cgroup_v1, swap\n" in labctl("status").out


def test_status_as_json(labctl: Labctl, world: World, running: Path) -> None:
    data = json.loads(labctl("status", "--json").out)
    assert data["hosts"][1] == {
        "name": "worker1",
        "state": "running",
        "address": "10.9.0.3",
        "groups": ["hdfs_datanode", "yarn_nodemanager"],
        "memory": None,
        "constraints": [],
    }
    assert (data["lab"], data["stacks"], data["lease"], data["locked_by"]) == ("demo", ["hadoop"], None, None)


def test_inventory(labctl: Labctl, world: World, lab: Path) -> None:
    (lab / "lab.yml").write_text(LAB + "vars: {motto: \"{{ lookup('pipe', 'id') }}\"}\n")
    data = json.loads(labctl("inventory").out)
    assert data["all"]["vars"] == {"motto": "{{ lookup('pipe', 'id') }}"}
    assert data["hdfs_datanode"] == {"hosts": ["worker1", "worker2"]}
    assert data["_meta"]["hostvars"]["head"]["ansible_user"] == "root"


def test_check(labctl: Labctl, world: World, running: Path) -> None:
    world.outcomes["labctl.stacks.hadoop_check"] = lambda p: ok(p, messages=["8 splits", "2 workers"])
    done = labctl("check")
    assert (done.code, done.out) == (0, "8 splits\n2 workers\nPassed: hadoop\n")
    assert json.loads(labctl("check", "--json").out) == {"hadoop": ["8 splits", "2 workers"]}
    assert world.calls == ["play labctl.stacks.hadoop_check"] * 2


def test_check_that_fails(labctl: Labctl, world: World, running: Path) -> None:
    world.outcomes["labctl.stacks.hadoop_check"] = lambda p: failed(p, Failure("head", "Count", "wrong"))
    done = labctl("check")
    assert (done.code, done.out) == (6, "")
    assert "error: hadoop does not pass its check on lab demo\n  head, Count: wrong\n" in done.err


def test_check_of_a_lab_that_is_not_up(labctl: Labctl, world: World, lab: Path) -> None:
    assert labctl("check") == Done(
        4, "", "error: not every host runs: head is absent, worker1 is absent, worker2 is absent\nhint: labctl up\n"
    )


def test_exec_on_one_host(labctl: Labctl, world: World, running: Path, ssh: Path) -> None:
    done = labctl("exec", "head", "--", "echo", "a b", "$HOME")
    assert done == Done(
        0, "<-F><HERE/.labctl/ssh/config><-o><BatchMode=yes><-T><head><--><echo 'a b' '$HOME'>\n", "trouble\n"
    )
    assert labctl("exec", "head", "--", "ls | wc").out.endswith("<--><ls | wc>\n")


def test_exec_on_a_group_says_which_host_said_what(labctl: Labctl, world: World, running: Path, ssh: Path) -> None:
    (ssh / "code").write_text("3")
    done = labctl("exec", "hdfs_datanode", "--", "id")
    assert done.code == 3
    assert sorted(line.split("<")[0] for line in done.out.splitlines()) == ["worker1 | ", "worker2 | "]
    assert "worker1: exit code 3\nworker2: exit code 3\n" in done.err


@pytest.mark.parametrize(
    ("argv", "code", "err"),
    [
        (["exec"], 2, "error: there is no command to run\nhint: labctl exec [HOST|GROUP] -- COMMAND\n"),
        (["exec", "head", "--"], 2, "error: there is no command to run\nhint: labctl exec [HOST|GROUP] -- COMMAND\n"),
        (["exec", "haed", "--", "id"], 2, "error: lab demo has no host and no group 'haed'\n"
         "hint: did you mean head?\n"),
        (["ssh", "hdfs_datanode"], 2, "error: hdfs_datanode is a group: choose one of worker1, worker2\n"),
        (["ssh", "-oProxyCommand=id"], 2, "error: No such option: -o\nhint: labctl ssh --help\n"),
        (["logs", "--lines", "0"], 2,
         "error: Invalid value for '--lines' / '-n': Input should be greater than or equal to 1\n"
         "hint: labctl logs --help\n"),
    ],
)  # fmt: skip
def test_words_that_mean_nothing(
    labctl: Labctl, world: World, running: Path, argv: list[str], code: int, err: str
) -> None:
    assert labctl(*argv) == Done(code, "", err)


def test_ssh_takes_our_place(labctl: Labctl, world: World, running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(os, "execvp", lambda program, argv: seen.append(argv))
    labctl("ssh", "worker1")
    labctl("ssh", "worker1", "--", "uptime")
    config = str(running / ".labctl/ssh/config")
    assert seen == [["ssh", "-F", config, "worker1"], ["ssh", "-F", config, "worker1", "--", "uptime"]]


def test_hosts_that_do_not_run_are_named(labctl: Labctl, world: World, running: Path) -> None:
    world.states[running / "lab.yml"]["worker2"] = "stopped"
    for argv in (["exec", "--", "id"], ["ssh", "worker2"], ["logs"]):
        assert labctl(*argv) == Done(4, "", "error: not every host runs: worker2 is stopped\nhint: labctl up\n")
    assert labctl("status").code == 0


def test_logs_ask_for_the_units_of_ours(labctl: Labctl, world: World, running: Path, ssh: Path) -> None:
    done = labctl("logs", "head", "hdfs-namenode", "-n", "5")
    assert done.code == 0
    assert done.out.startswith("<-F>")
    assert "5 '' hdfs-namenode>" in done.out


def test_init(labctl: Labctl, world: World, home: Path) -> None:
    assert labctl("init", "My Lab", "--stack", "hadoop", "--provider", "nspawn") == Done(
        0,
        "",
        "wrote My Lab/lab.yml\nwrote My Lab/nspawn.yml\nwrote My Lab/site.yml\nwrote My Lab/.gitignore\n"
        "Next: cd 'My Lab' && labctl up, or: cd 'My Lab' && ansible-playbook site.yml -i nspawn.yml\n",
    )
    folder = home / "My Lab"
    assert load_lab(folder / "lab.yml").name == "my-lab"
    assert (folder / "nspawn.yml").read_text() == "---\nplugin: labctl.stacks.nspawn\nlab: lab.yml\n"
    assert (folder / "site.yml").read_text() == (
        "---\n- name: The lab's hosts and stacks\n  ansible.builtin.import_playbook: labctl.stacks.site\n"
    )
    assert (folder / ".gitignore").read_text() == ".labctl/\n"
    before = {path: path.read_text() for path in folder.iterdir()}
    assert labctl("init", "My Lab") == Done(
        2,
        "",
        "error: init overwrites nothing\n"
        "  My Lab/lab.yml: is there already\n  My Lab/nspawn.yml: is there already\n"
        "  My Lab/site.yml: is there already\n"
        "hint: choose another folder\n",
    )
    assert {path: path.read_text() for path in folder.iterdir()} == before


def test_init_for_hosts_that_exist(labctl: Labctl, home: Path) -> None:
    assert labctl("init", "--provider", "static").code == 0
    lab = load_lab(home / "lab.yml")
    assert [(host.name, host.address) for host in lab.hosts] == [
        ("head", "192.0.2.10"),
        ("worker1", "192.0.2.11"),
        ("worker2", "192.0.2.12"),
    ]


@pytest.mark.parametrize(
    ("argv", "err"),
    [
        (["--stack", "hado"], "error: there is no stack 'hado'\nhint: did you mean hadoop?\n"),
        (["--provider", "docker"], "error: there is no provider 'docker'\nhint: known: nspawn, static\n"),
    ],
)
def test_init_of_what_there_is_not(labctl: Labctl, home: Path, argv: list[str], err: str) -> None:
    assert labctl("init", *argv) == Done(2, "", err)
    assert list(home.iterdir()) == []


def test_down_asks_and_keeps_what_is_the_users(labctl: Labctl, world: World, running: Path) -> None:
    (running / ".labctl/mine").touch()
    refused = labctl("down")
    assert refused == Done(
        2,
        "",
        "This removes lab demo, with all data on its hosts: head (10.9.0.2), worker1 (10.9.0.3), worker2 (10.9.0.4).\n"
        "error: down needs a yes, and there is no terminal to ask on\nhint: labctl down --yes\n",
    )
    assert world.calls == []
    done = labctl("down", "--yes")
    assert done == Done(0, "", "removed host head\nremoved host worker1\nremoved host worker2\nLab demo is gone.\n")
    assert sorted(str(path.relative_to(running)) for path in running.rglob("*")) == [
        ".labctl",
        ".labctl/mine",
        "lab.yml",
        "nspawn.yml",
    ]
    assert labctl("down", "--yes") == Done(0, "", "nothing to remove\n") == labctl("down")
    assert world.calls == ["destroy"]


def test_down_of_a_default_lab_leaves_an_empty_folder(labctl: Labctl, world: World, home: Path) -> None:
    labctl("up", "hadoop")
    assert labctl("down", "--yes").err.endswith("removed folder .labctl\nLab hadoop is gone.\n")
    assert list(home.iterdir()) == []
    assert labctl("down") == Done(0, "", "nothing to remove\n")


def test_down_of_a_lab_in_use(labctl: Labctl, world: World, running: Path) -> None:
    with locked(running / ".labctl", "labctl up"):
        assert labctl("down", "--yes").code == 7
    assert world.calls == []


def test_doctor(labctl: Labctl, world: World, home: Path) -> None:
    world.lacking = (Finding("program mmdebstrap", "is missing", "apt install mmdebstrap"),)
    done = labctl("doctor")
    assert done.code == 3
    assert done.out.endswith("MISSING  program mmdebstrap: is missing\n         mend: apt install mmdebstrap\n")
    assert {check["name"]: check["ok"] for check in json.loads(labctl("doctor", "--json").out)}[
        "program mmdebstrap"
    ] is False
    world.lacking = ()
    done = labctl("doctor")
    assert (done.code, done.err) == (0, "This machine has what it takes: labctl up\n")
    assert list(home.iterdir()) == []


def test_version(labctl: Labctl) -> None:
    lines = labctl("version").out.splitlines()
    assert [line.split()[0] for line in lines] == ["labctl", "ansible-core", "ansible-runner", "python"]
    assert json.loads(labctl("version", "--json").out)["python"] == sys.version.split()[0]


def test_completion_knows_stacks_hosts_and_groups(lab: Path) -> None:
    assert stacks("ha") == ["hadoop"]
    assert hosts_and_groups("h") == ["head", "hdfs_namenode", "hdfs_datanode"]
    (lab / "lab.yml").write_text("nonsense: [")
    assert hosts_and_groups("h") == []


def test_common_options_may_stand_anywhere_but_after_the_dashes(
    labctl: Labctl, world: World, running: Path, ssh: Path
) -> None:
    assert labctl("exec", "head", "-q", "--", "grep", "-v", "x").out.endswith("<--><grep -v x>\n")
    assert labctl("-C", str(running), "status").code == 0
