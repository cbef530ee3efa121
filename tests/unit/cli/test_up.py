# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl up: what it prints, what it does in which order, how each kind of trouble ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import Finding, PreflightError
from labctl.ansible.outcome import Failure
from labctl.lab.lock import locked
from unit.cli.done import LAB, Done
from unit.lab.doubles import World, failed, ok

Labctl = Callable[..., Done]

SUMMARY = """\
HOST     ADDRESS   GROUPS
head     10.9.0.2  hdfs_namenode, yarn_resourcemanager, mapred_historyserver, hadoop_client
worker1  10.9.0.3  hdfs_datanode, yarn_nodemanager
worker2  10.9.0.4  hdfs_datanode, yarn_nodemanager

SERVICE               ADDRESS
HDFS NameNode         http://10.9.0.2:9870/
YARN ResourceManager  http://10.9.0.2:8088/
MapReduce history     http://10.9.0.2:19888/

Next: labctl ssh head
      labctl exec head -- hdfs dfs -ls /
      labctl status
      labctl down
"""
NOTICE = (
    "note: Hadoop runs without Kerberos here: it authenticates nobody. Whoever reaches its ports can read, change and "
    "run anything in it. Its hosts' firewalls therefore admit the lab's own hosts and this machine only.\n"
)
TALK = """\
TIME hosts: making hosts and fetching artefacts
TIME head: boots
TIME worker1: boots
TIME worker2: boots
TIME hosts: 3 hosts running
TIME hadoop: converging hadoop
TIME hdfs: Configure
TIME hadoop: 3 tasks, 0 changed
"""


def without_artifacts(text: str) -> str:
    """Artefacts arrive beside the hosts, in no certain order."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("TIME artefact hadoop: "))


def test_the_first_up_makes_converges_checks_and_warns_once(labctl: Labctl, world: World, home: Path) -> None:
    world.outcomes["labctl.stacks.hadoop_check"] = lambda p: ok(p, messages=["1000 words counted, all right"])
    done = labctl("up", "hadoop")
    assert (done.code, done.out) == (
        0,
        f"1000 words counted, all right\n\nLab hadoop is up (3 changes, N s).\n\n{SUMMARY}",
    )
    check = "TIME hadoop check: checking hadoop\nTIME hdfs: Configure\nTIME hadoop check: passed\n"
    assert without_artifacts(done.err) == TALK + check + NOTICE
    assert "TIME artefact hadoop: download, 5.0 MB of 10.0 MB\n" in done.err
    assert "TIME artefact hadoop: 1.0 from hadoop\n" in done.err
    assert world.calls[0] == "preflight"
    assert sorted(world.calls[1:3]) == ["apply", "artefact hadoop"]
    assert world.calls[3:] == ["play labctl.stacks.hadoop", "play labctl.stacks.hadoop_check"]
    assert world.playbooks[0].inventory == home / ".labctl/nspawn.yml"
    assert (home / ".labctl/nspawn.yml").read_text() == (
        "---\nplugin: labctl.stacks.nspawn\nlab: lab.yml\nlab_dir: .\n"
    )
    assert list(home.iterdir()) == [home / ".labctl"]


def test_a_second_up_looks_at_the_hosts_and_starts_nothing(labctl: Labctl, world: World, home: Path) -> None:
    labctl("up", "hadoop")
    world.calls.clear()
    world.looked.clear()
    for argv in (["up"], ["up", "hadoop"]):
        assert labctl(*argv) == Done(0, f"Lab hadoop is up (nothing to change, N s).\n\n{SUMMARY}", "")
    assert world.calls == []
    assert world.looked == [["head", "worker1", "worker2"]] * 2
    records = [json.loads(path.read_text()) for path in (home / ".labctl/runs").glob("*-noop-*/run.json")]
    assert sorted((record["argv"], record["result"]) for record in records) == [
        (["up"], "done"),
        (["up", "hadoop"], "done"),
    ]


def test_full_runs_ansible_but_no_check_and_gives_no_notice(labctl: Labctl, world: World, home: Path) -> None:
    labctl("up", "hadoop")
    world.calls.clear()
    done = labctl("up", "--full")
    assert (done.code, done.out) == (0, f"Lab hadoop is up (nothing to change, N s).\n\n{SUMMARY}")
    why = "".join(f"TIME {host}: asked for by --full\n" for host in ("head", "worker1", "worker2"))
    phase = "TIME hadoop: converging hadoop\n"
    assert without_artifacts(done.err) == TALK.replace(phase, why + phase)
    assert [call for call in world.calls if call.startswith("play")] == ["play labctl.stacks.hadoop"]


def test_a_change_is_checked_again_unless_told_not_to(labctl: Labctl, world: World, lab: Path) -> None:
    labctl("up")
    world.outcomes["labctl.stacks.hadoop"] = lambda p: ok(p, changed=1, changes=[("head", "hdfs: Configure")])
    world.calls.clear()
    assert labctl("up", "--full", "--skip-check").out.startswith("Lab demo is up (1 change, N s).")
    assert world.calls[-1] == "play labctl.stacks.hadoop"
    world.calls.clear()
    assert labctl("up", "--skip-check").out.startswith("Lab demo is up (nothing to change, N s).")
    assert world.calls == []
    labctl("up")
    assert world.calls == ["preflight", "play labctl.stacks.hadoop_check"], "what was not proven is still to prove"


def test_quiet_says_nothing_but_what_must_be_known_once(labctl: Labctl, world: World, home: Path) -> None:
    assert labctl("up", "hadoop", "-q") == Done(0, "", NOTICE)
    assert labctl("-q", "up") == Done(0, "", "")


def test_a_stack_that_contradicts_the_lab(labctl: Labctl, world: World, home: Path) -> None:
    (home / "lab.yml").write_text("name: bare\nprovider: nspawn\nhosts: {a: {}}\n")
    done = labctl("up", "hadoop")
    assert done == Done(
        2,
        "",
        "error: the lab here, bare, has no stack, not hadoop\n"
        "hint: add hadoop to stacks in lab.yml, or work in another folder\n",
    )
    assert world.calls == []


@pytest.mark.parametrize(
    ("argv", "err"),
    [
        (
            ["up"],
            "error: there is no lab here: neither lab.yml nor .labctl/lab.yml\n"
            "hint: labctl up STACK makes one, labctl init writes a lab.yml to start from\n",
        ),
        (["up", "hadop"], "error: there is no stack 'hadop'\nhint: did you mean hadoop?\n"),
        (["up", "-C", "nowhere"], "error: there is no folder nowhere\nhint: --lab takes a folder with a lab.yml\n"),
        (["up", "a", "b"], "error: Got unexpected extra argument(s) (b)\nhint: labctl up --help\n"),
        (["up", "--ful"], "error: No such option: --ful (Possible options: --full, --lab)\nhint: labctl up --help\n"),
        (["up", "--", "x"], "error: labctl up takes nothing after --\n"),
        (["upp"], "error: No such command 'upp'. Did you mean 'up'?\nhint: labctl --help\n"),
    ],
)
def test_bad_command_lines(labctl: Labctl, world: World, home: Path, argv: list[str], err: str) -> None:
    assert labctl(*argv) == Done(2, "", err)
    assert world.calls == []
    assert list(home.iterdir()) == []


def test_a_bad_lab_file_touches_nothing(labctl: Labctl, world: World, home: Path) -> None:
    (home / "lab.yml").write_text(LAB.replace("memory", "memroy").replace("[hadoop]", "[hadop]"))
    for command in ("up", "status", "check", "inventory", "down", "doctor", "logs"):
        assert labctl(command) == Done(
            2,
            "",
            "error: lab.yml is not a valid lab file: 2 errors\n"
            "  lab.yml:4 hosts.head.memroy: unknown key (did you mean memory?)\n"
            '  lab.yml:6 stacks[0]: no stack "hadop" (did you mean hadoop?)\n',
        )
    assert world.calls == []
    assert list(home.iterdir()) == [home / "lab.yml"]


def test_preflight_leaves_nothing_behind(labctl: Labctl, world: World, home: Path) -> None:
    world.lacking = (Finding("rights", "you are not root", "run it with sudo"), Finding("", "mmdebstrap is missing"))
    done = labctl("up", "hadoop")
    assert done == Done(
        3,
        "",
        "error: this machine cannot make the hosts\n"
        "  rights: you are not root (run it with sudo)\n"
        "  mmdebstrap is missing\n",
    )
    assert world.calls == ["preflight"]
    assert list(home.iterdir()) == []


def test_a_host_that_fails_is_named_with_its_task(labctl: Labctl, world: World, lab: Path) -> None:
    world.outcomes["labctl.stacks.hadoop"] = lambda p: failed(
        p,
        Failure("worker1", "hdfs: Start the DataNode", "port 9866 is in use\nby pid 7"),
        Failure("worker2", "gather", "Connection timed out", unreachable=True),
    )
    done = labctl("up")
    assert (done.code, done.out) == (5, "")
    assert done.err.endswith(
        "error: hadoop: 2 of 3 hosts failed on lab demo\n"
        "  worker1, hdfs: Start the DataNode: port 9866 is in use\n    by pid 7\n"
        "  worker2, gather: could not be reached: Connection timed out\n"
        "hint: mend the cause and run the same command again: it goes on from there\n"
    )
    record = json.loads(next((lab / ".labctl/runs").glob("*/run.json")).read_text())
    assert record["argv"] == ["up"]
    assert (record["result"], record["playbooks"][0]["failed"]) == (
        "failed",
        [["worker1", "hdfs: Start the DataNode"], ["worker2", "gather"]],
    )


def test_a_host_that_does_not_come_up_holds_the_others_not_up(labctl: Labctl, world: World, lab: Path) -> None:
    world.dead = {"worker2"}
    world.outcomes["labctl.stacks.hadoop"] = lambda p: failed(p, Failure("worker2", "gather", "no route", True))
    done = labctl("up")
    assert "play labctl.stacks.hadoop" in world.calls
    assert done.code == 5
    assert done.err.endswith(
        "error: hadoop: 1 of 3 hosts failed on lab demo\n"
        "  worker2: ssh does not answer\n"
        "hint: mend the cause and run the same command again: it goes on from there\n"
    )


def test_no_host_comes_up(labctl: Labctl, world: World, lab: Path) -> None:
    world.dead = {"head", "worker1", "worker2"}
    done = labctl("up")
    assert done.code == 4
    assert done.err.endswith(
        "error: not every host came up\n"
        "  head: ssh does not answer\n  worker1: ssh does not answer\n  worker2: ssh does not answer\n"
    )
    assert not [call for call in world.calls if call.startswith("play")]


def test_an_artefact_that_cannot_be_had(labctl: Labctl, world: World, lab: Path) -> None:
    def missing(name: str) -> str:
        raise PreflightError("hadoop 3.5.0: wrong sha256", hint="look at the mirror")

    world.artifact = missing
    done = labctl("up")
    assert done.code == 3
    assert done.err.endswith("error: hadoop 3.5.0: wrong sha256\nhint: look at the mirror\n")
    assert not [call for call in world.calls if call.startswith("play")]


def test_a_check_that_fails_is_repeated_by_the_next_up(labctl: Labctl, world: World, lab: Path) -> None:
    world.outcomes["labctl.stacks.hadoop_check"] = lambda p: failed(p, Failure("head", "Count words", "3 instead of 4"))
    done = labctl("up")
    assert done.code == 6
    assert "error: hadoop does not pass its check on lab demo\n  head, Count words: 3 instead of 4\n" in done.err
    del world.outcomes["labctl.stacks.hadoop_check"]
    world.calls.clear()
    assert labctl("up").code == 0
    assert world.calls[-1] == "play labctl.stacks.hadoop_check"


def test_check_mode_makes_nothing(labctl: Labctl, world: World, home: Path) -> None:
    done = labctl("up", "hadoop", "--check")
    assert (done.code, done.out) == (
        0,
        "host head: create (as asked)\nhost worker1: create (as asked)\nhost worker2: create (as asked)\n",
    )
    assert world.calls == ["preflight"]
    assert list(home.iterdir()) == []


def test_check_mode_on_a_lab_that_runs(labctl: Labctl, world: World, lab: Path) -> None:
    labctl("up")
    world.outcomes["labctl.stacks.hadoop"] = lambda p: ok(p, changed=1, changes=[("head", "hdfs: Configure")])
    assert labctl("up", "--check") == Done(0, "nothing to change\n", "")
    done = labctl("up", "--check", "--diff", "--full")
    assert (done.code, done.out) == (0, "head: hdfs: Configure\n")
    assert (world.playbooks[-1].check, world.playbooks[-1].diff) == (True, True)


def test_a_lab_in_use_names_who_uses_it(labctl: Labctl, world: World, lab: Path) -> None:
    with locked(lab / ".labctl", "labctl down --yes"):
        done = labctl("up")
    assert done.code == 7
    assert done.err.startswith("error: the lab is locked by labctl down --yes (pid ")
    assert world.calls == ["preflight"]


def test_a_bug_says_so_and_shows_its_traceback_only_when_asked(labctl: Labctl, world: World, lab: Path) -> None:
    def bug(playbook: object) -> None:
        raise KeyError("surprise")

    world.outcomes["labctl.stacks.hadoop"] = bug  # type: ignore[assignment]
    done = labctl("up")
    assert done.code == 1
    assert done.err.endswith(
        "error: this is a bug in labctl: KeyError: 'surprise'\n"
        "hint: run it again with --debug and report what it shows\n"
    )
    assert "Traceback" not in done.err
    assert "Traceback" in labctl("--debug", "up").err
