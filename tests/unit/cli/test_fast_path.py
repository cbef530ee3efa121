# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What up, plan and diff make of changed inputs and drifted hosts: complete output, exit code, and who was run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from labctl.ansible.outcome import Failure
from labctl.lab.verify import Drift
from unit.cli.done import LAB, Done
from unit.lab.doubles import World, failed, ok

Labctl = Callable[..., Done]
EDITED = Drift("yarn", "file", "/etc/hadoop/yarn-site.xml", "content", "aa11", "bb22")
STOPPED = Drift("yarn", "unit", "yarn-nodemanager.service", "state", "active (running)", "inactive (dead)")
LATE = Drift("hdfs", "check", "the NameNode answers", "port", "listening", "refused")
SETTLED = "nothing to do: every input is that of the last run, and every host is as it was left\n"


@pytest.fixture
def up(labctl: Labctl, world: World, lab: Path) -> Path:
    """A lab that is up and proven."""
    assert labctl("up").code == 0
    world.calls.clear()
    world.looked.clear()
    return lab


def plays(world: World) -> list[str]:
    return [call.removeprefix("play labctl.stacks.") for call in world.calls if call.startswith("play ")]


def test_variables_of_one_host_make_that_host_run(labctl: Labctl, world: World, up: Path) -> None:
    (up / "host_vars").mkdir()
    (up / "host_vars/worker2.yml").write_text("yarn_nodemanager_java_opts: -Xmx99m\n")
    assert labctl("plan").out == "stack hadoop: run on worker2\n  worker2: host_vars/worker2.yml is new\n"
    done = labctl("up")
    assert done.code == 0
    assert "TIME worker2: host_vars/worker2.yml is new\nTIME hadoop: converging hadoop on worker2\n" in done.err
    assert plays(world) == ["hadoop on worker2"]
    assert labctl("up").err == ""


def test_a_changed_lab_file_makes_all_run_and_the_same_bytes_again_none(labctl: Labctl, world: World, up: Path) -> None:
    (up / "lab.yml").write_text(LAB + "vars: {hdfs_replication: 1}\n")
    assert labctl("plan").out == "stack hadoop: run on head, worker1, worker2\n  all of them: lab.yml changed\n"
    (up / "lab.yml").write_text(LAB)
    assert labctl("plan") == Done(0, SETTLED, "")
    assert world.calls == []


def test_a_drifted_host_is_run_alone_and_looked_at_again(labctl: Labctl, world: World, up: Path) -> None:
    world.drift["worker1"] = [EDITED, STOPPED]
    reasons = (
        "file /etc/hadoop/yarn-site.xml: content: bb22 instead of aa11",
        "unit yarn-nodemanager.service: state: inactive (dead) instead of active (running)",
    )
    assert labctl("plan").out == "stack hadoop: run on worker1\n" + "".join(f"  worker1: {one}\n" for one in reasons)
    world.outcomes["labctl.stacks.hadoop"] = lambda p: ok(p, changed=1, changes=[("worker1", "yarn: Configure")])
    world.looked.clear()
    done = labctl("up")
    assert done.out.startswith("Lab demo is up (1 change, N s).\n")
    assert "".join(f"TIME worker1: {one}\n" for one in reasons) in done.err
    assert plays(world) == ["hadoop on worker1", "hadoop_check"]
    assert world.looked == [["head", "worker1", "worker2"]] * 2
    record = json.loads(labctl("runs", "show", "last", "--json").out)
    assert record["why"] == {
        "hadoop": {
            "worker1": ["file /etc/hadoop/yarn-site.xml: content", "unit yarn-nodemanager.service: state"],
        }
    }, "what a host holds is not for a record"


def test_check_asks_ansible_about_stale_hosts_only(labctl: Labctl, world: World, up: Path) -> None:
    world.drift["worker1"] = [EDITED]
    world.outcomes["labctl.stacks.hadoop"] = lambda p: ok(p, changed=1, changes=[("worker1", "yarn: Configure")])
    assert labctl("up", "--check").out == "worker1: yarn: Configure\n"
    assert plays(world) == ["hadoop on worker1"]
    assert (world.playbooks[-1].check, world.playbooks[-1].limit) == (True, ("worker1",))
    assert labctl("plan").out.startswith("stack hadoop: run on worker1\n"), "check mode settles nothing"


def test_drift_that_a_run_does_not_mend_is_an_error(labctl: Labctl, world: World, up: Path) -> None:
    world.drift["worker1"], world.stubborn = [EDITED], True
    done = labctl("up")
    assert (done.code, done.out) == (5, "")
    assert done.err.endswith(
        "error: 1 of 3 hosts of lab demo are not as the playbooks should have left them\n"
        "  worker1: file /etc/hadoop/yarn-site.xml: content: bb22 instead of aa11\n"
        "hint: something else changes them, or a role does not mend what it manages: labctl diff shows more\n"
    )
    assert plays(world) == ["hadoop on worker1"], "a stack that is not as it should be is not proven"
    world.drift.clear()
    world.calls.clear()
    assert labctl("up").code == 0
    assert plays(world) == ["hadoop on worker1", "hadoop_check"]


def test_services_get_time_to_answer_after_a_run(
    labctl: Labctl, world: World, up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labctl.lab.up.PAUSE", 0.0)
    world.drift = {"worker1": [EDITED]}
    looks = []
    see = world.verify

    def verify(lab: object, hosts: dict[str, frozenset[str]]) -> object:
        looks.append(list(hosts))
        if len(looks) == 4:
            world.drift.clear()
        return see(lab, hosts)  # type: ignore[arg-type]

    monkeypatch.setattr("labctl.lab.backend.verify", verify)
    world.outcomes["labctl.stacks.hadoop"] = lambda p: (world.drift.setdefault("worker2", [LATE]), ok(p))[1]
    assert labctl("up").code == 0
    assert looks == [["head", "worker1", "worker2"]] * 2 + [["worker2"]] * 2


def test_a_host_that_gives_no_answer_is_stale(labctl: Labctl, world: World, up: Path) -> None:
    world.silent["worker2"] = "no answer within 15 s"
    assert labctl("plan").out == "stack hadoop: run on worker2\n  worker2: cannot be looked at: no answer within 15 s\n"
    data = json.loads(labctl("plan", "--json").out)
    assert (data["silent"], data["settled"]) == ({"worker2": "no answer within 15 s"}, False)


def test_a_digest_that_is_gone_and_one_that_another_run_left(labctl: Labctl, world: World, up: Path) -> None:
    (up / ".labctl/manifests/worker1/hdfs.sha256").unlink()
    world.leave_manifest(up / ".labctl", "worker2", "b2" * 32)
    assert labctl("plan").out == (
        "stack hadoop: run on worker1, worker2\n"
        "  worker1: the lab folder has no digest of the manifest of hdfs\n"
        "  worker1: manifest hdfs: on the host: none instead of a manifest\n"
        "  worker2: hdfs was converged by another run\n"
    )


def test_roles_that_record_nothing_never_take_the_fast_path(labctl: Labctl, world: World, lab: Path) -> None:
    world.leave_manifest = lambda *args: None  # type: ignore[method-assign]
    for _ in range(2):
        world.calls.clear()
        assert labctl("up").code == 0
        assert plays(world)[0] == "hadoop"
    assert "all of them: its roles leave no record of what they manage\n" in labctl("plan").out


def test_a_variable_that_looks_elsewhere_runs_its_hosts_each_time(labctl: Labctl, world: World, up: Path) -> None:
    (up / "group_vars").mkdir()
    (up / "group_vars/hdfs_datanode.yml").write_text("a: \"{{ lookup('env', 'HOME') }}\"\n")
    labctl("up")
    assert labctl("plan").out == (
        "stack hadoop: run on worker1, worker2\n"
        "  all of them: group_vars/hdfs_datanode.yml depends on more than its text\n"
    )


def test_a_run_that_fails_leaves_its_hosts_stale(labctl: Labctl, world: World, up: Path) -> None:
    (up / "host_vars").mkdir()
    (up / "host_vars/worker2.yml").write_text("a: 1\n")
    world.outcomes["labctl.stacks.hadoop"] = lambda p: failed(p, Failure("worker2", "hdfs: Configure", "no room"))
    assert labctl("up").code == 5
    assert labctl("plan").out == "stack hadoop: run on worker2\n  worker2: not converged yet\n"


def test_a_host_that_is_gone_is_made_and_converged(labctl: Labctl, world: World, up: Path) -> None:
    world.states[up / "lab.yml"].pop("worker2")
    assert labctl("plan").out.startswith("host worker2: create, as asked\nstack hadoop: run on ")
    world.drift["worker2"] = [Drift("hdfs", "manifest", "hdfs", "on the host", "a1a1", "none")]
    assert labctl("up").code == 0
    assert plays(world) == ["hadoop on worker2", "hadoop_check"]


@pytest.mark.parametrize("text", ["", "{", '{"version": 1}', "[]", '{"version": 1, "lab": "ID", "hosts": {"head": 3}}'])
def test_a_damaged_state_file_costs_a_run(labctl: Labctl, world: World, up: Path, text: str) -> None:
    lab_id = (up / ".labctl/id").read_text().strip()
    (up / ".labctl/state.json").write_text(text.replace("ID", lab_id))
    assert "all of them: not converged yet\n" in labctl("plan").out
    assert labctl("up").code == 0
    assert labctl("plan").out == SETTLED


def test_plan_of_a_lab_that_is_not_up(labctl: Labctl, world: World, lab: Path) -> None:
    world.stored = False
    assert labctl("plan") == Done(
        0,
        "host head: create, as asked\nhost worker1: create, as asked\nhost worker2: create, as asked\n"
        "artefact hadoop 1.0: fetch\n"
        "stack hadoop: run on head, worker1, worker2\n  all of them: as asked\n",
        "",
    )
    assert not (lab / ".labctl").exists()


def test_plan_as_json(labctl: Labctl, world: World, up: Path) -> None:
    world.drift["head"] = [STOPPED]
    assert json.loads(labctl("plan", "--json").out) == {
        "lab": "demo",
        "hosts": [{"host": host, "action": "keep", "reason": "as asked"} for host in ("head", "worker1", "worker2")],
        "artifacts": [{"name": "hadoop", "version": "1.0", "present": True}],
        "stacks": [{"stack": "hadoop", "hosts": {"head": [str(STOPPED)]}, "prove": False}],
        "drift": {
            "head": [
                {
                    "role": "yarn",
                    "kind": "unit",
                    "item": "yarn-nodemanager.service",
                    "what": "state",
                    "expected": "active (running)",
                    "found": "inactive (dead)",
                }
            ]
        },
        "silent": {},
        "settled": False,
    }


def test_plan_of_a_stack_that_was_not_proven(labctl: Labctl, world: World, lab: Path) -> None:
    labctl("up", "--skip-check")
    assert labctl("plan").out == "stack hadoop: prove that it works\n"
    assert labctl("up", "--check").out == "nothing to change\n"


def test_diff_shows_text_in_files_and_a_line_for_the_rest(labctl: Labctl, world: World, up: Path) -> None:
    assert labctl("diff", "--exit-code") == Done(0, "no difference\n", "")
    world.drift = {"worker1": [EDITED, STOPPED], "worker2": [STOPPED]}
    change = ("worker1", EDITED.item, "<a/>\n<b/>\n<mine/>\n", "<a/>\n<b/>\n")
    other = ("worker1", "/etc/other", "1", "2")
    world.outcomes["labctl.stacks.hadoop"] = lambda p: ok(p, diffs=[change, other])
    text = """\
worker1: file /etc/hadoop/yarn-site.xml: content: bb22 instead of aa11
--- worker1:/etc/hadoop/yarn-site.xml, as it is
+++ worker1:/etc/hadoop/yarn-site.xml, as it should be
@@ -1,3 +1,2 @@
 <a/>
 <b/>
-<mine/>
worker1: unit yarn-nodemanager.service: state: inactive (dead) instead of active (running)
worker2: unit yarn-nodemanager.service: state: inactive (dead) instead of active (running)
"""
    done = labctl("diff", "--exit-code")
    assert (done.code, done.out) == (8, text)
    assert (world.playbooks[-1].check, world.playbooks[-1].diff, world.playbooks[-1].limit) == (
        True,
        True,
        ("worker1",),
    )
    assert labctl("diff", "-q").code == 0
    rows = json.loads(labctl("diff", "--json").out)
    assert rows["worker1"]["drift"][0]["diff"].startswith("--- worker1:/etc/hadoop/yarn-site.xml, as it is\n")
    assert rows["worker1"]["drift"][1]["diff"] is None
    assert (rows["head"], rows["worker2"]["error"]) == ({"error": "", "drift": []}, "")


def test_diff_without_files_starts_no_ansible(labctl: Labctl, world: World, up: Path) -> None:
    world.drift = {"worker2": [STOPPED]}
    world.silent = {"worker1": "ssh failed"}
    world.states[up / "lab.yml"]["head"] = "stopped"
    done = labctl("diff", "--exit-code")
    assert (done.code, done.err) == (8, "")
    assert done.out == f"head: it is stopped\nworker1: cannot be looked at: ssh failed\nworker2: {STOPPED}\n"
    assert world.calls == []


def test_diff_from_a_host_is_harmless_on_a_terminal(labctl: Labctl, world: World, up: Path) -> None:
    world.drift = {"worker1": [EDITED]}
    change = ("worker1", EDITED.item, "\x1b]0;mine\x07\x1b[31mred\n", "plain\n")
    world.outcomes["labctl.stacks.hadoop"] = lambda p: ok(p, diffs=[change])
    assert "\x1b" not in labctl("diff").out


PROGRAM = """
import sys
from pathlib import Path
import pytest
from unit.lab import doubles
world = doubles.install(pytest.MonkeyPatch())
if len(sys.argv) > 1:
    world.states[Path("lab.yml").resolve()] = dict.fromkeys(("head", "worker1", "worker2"), "running")
from labctl.cli import run
assert run(["up", "-q"]) == 0
loaded = {name for name in sys.modules}
print(sorted({name.split(".")[0] for name in loaded} | (loaded & {"rich.progress", "labctl.ansible.runner"})))
"""


def test_nothing_to_do_loads_no_ansible(lab: Path) -> None:
    def loaded(*argv: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *argv],
            capture_output=True,
            text=True,
            check=False,
            env={"PYTHONPATH": ":".join(sys.path), "HOME": str(lab)},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "'ansible_runner'" in loaded()
    second = loaded("again")
    for heavy in ("ansible", "ansible_runner", "jinja2", "cryptography", "rich"):
        assert f"'{heavy}'" not in second
