# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When unit restarts, and when it does not; whatever happens in between."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Call
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError, InputError
from ansible_collections.labctl.stacks.plugins.module_utils.manifest import Manifest
from ansible_collections.labctl.stacks.plugins.module_utils.systemd import Systemd, UnitState, parse_show
from ansible_collections.labctl.stacks.plugins.module_utils.units import converge, unit_specs

SHOWN = """\
Type=notify
RemainAfterExit=no
Result=success
LoadState=loaded
ActiveState=active
SubState=running
FragmentPath=/usr/lib/systemd/system/ssh.service
DropInPaths=/etc/systemd/system/ssh.service.d/b.conf /etc/systemd/system/ssh.service.d/a.conf
UnitFileState=enabled
NeedDaemonReload=yes

Result=success
LoadState=not-found
ActiveState=inactive
SubState=dead
FragmentPath=
UnitFileState=
NeedDaemonReload=no

Type=oneshot
RemainAfterExit=no
Result=exit-code
LoadState=loaded
ActiveState=failed
SubState=failed
FragmentPath=/etc/systemd/system/job.service
DropInPaths=
UnitFileState=static
NeedDaemonReload=no
"""


def test_the_answer_of_systemctl_show_is_read_in_the_order_asked() -> None:
    states = parse_show(SHOWN, ["sshd.service", "none.service", "job.service"])
    ssh, none, job = states.values()
    assert ssh.up
    assert ssh.enabled
    assert ssh.needs_reload
    assert ssh.drop_ins == ("/etc/systemd/system/ssh.service.d/a.conf", "/etc/systemd/system/ssh.service.d/b.conf")
    assert (none.load, none.up, none.down) == ("not-found", False, True)
    assert job.ends
    assert not job.up, "it ended without success"
    with pytest.raises(ConvergeError, match="told of 3 units, asked for 4"):
        parse_show(SHOWN, ["a", "b", "c", "d"])


class FakeSystemd(Systemd):
    """systemd with one unit of the distribution; ``dies`` is raised by the next restart."""

    def __init__(self, state: UnitState) -> None:
        self.state = state
        self.told: list[str] = []
        self.dies: BaseException | None = None
        self.comes_up = True

    def show(self, names: list[str]) -> dict[str, UnitState]:
        return dict.fromkeys(names, self.state)

    def tell(self, verb: str, names: list[str], *options: str, timeout: float = 600) -> None:
        if not names:
            return
        self.told.append(verb)
        if verb == "restart":
            if self.dies:
                raise self.dies
            self.state = replace(self.state, active="active" if self.comes_up else "failed", sub="x")
        if verb == "stop":
            self.state = replace(self.state, active="inactive")
        if verb in ("enable", "disable"):
            self.state = replace(self.state, file_state=f"{verb}d")

    def wait_up(self, names: list[str], deadline: float) -> dict[str, UnitState]:
        return self.show(names)

    def journal(self, name: str, since: float) -> list[str]:
        return ["what went wrong"]


RUNNING = UnitState(load="loaded", active="active", sub="running", file_state="enabled", fragment="/usr/lib/x")
STOPPED = replace(RUNNING, active="inactive", sub="dead", file_state="disabled")


class Box:
    """A host with one unit, its manifest and a fake systemd."""

    def __init__(self, root: Path, state: UnitState) -> None:
        self.root = root
        self.systemd = FakeSystemd(state)

    def run(self, config: str = "", *, check: bool = False, hold: bool = False, **more: Any) -> list[str]:
        """The verbs systemd was told by a run; a unit without name is none."""
        option = {"name": "x.service", "content_b64": None, "enabled": True, "state": "started", **more}
        options = [option] if more.get("name") != "" else []
        call = Call(Manifest.load("hdfs", self.root), "unit/main", {}, check)
        self.systemd.told = []
        held = frozenset(["x.service"] if hold else [])
        self.outcome = converge(call, options, config, 1, self.systemd, held)
        return self.systemd.told

    @property
    def record(self) -> dict[str, Any]:
        return Manifest.load("hdfs", self.root).records("unit/main", "units")["x.service"]

    def manifest(self) -> bytes:
        return (self.root / "manifest.d/hdfs.json").read_bytes()


def test_a_stopped_unit_is_enabled_and_started_once(tmp_path: Path) -> None:
    box = Box(tmp_path, STOPPED)
    assert box.run("a", check=True) == []
    assert box.run("a") == ["enable", "restart"]
    before = box.manifest()
    assert box.run("a") == []
    assert box.manifest() == before


def test_a_running_unit_without_configuration_is_left_alone(tmp_path: Path) -> None:
    assert Box(tmp_path, RUNNING).run() == []


def test_a_unit_that_ran_before_us_is_restarted_on_the_configuration_it_is_given(tmp_path: Path) -> None:
    box = Box(tmp_path, RUNNING)
    assert box.run("a") == ["restart"]
    assert box.run("a") == []
    assert box.run("b") == ["restart"]
    assert box.run("b") == []


@pytest.mark.parametrize("dies", [KeyboardInterrupt(), SystemExit(137)])
def test_a_restart_is_not_lost_when_the_run_dies_in_it(tmp_path: Path, dies: BaseException) -> None:
    box = Box(tmp_path, RUNNING)
    box.run("a")
    box.systemd.dies = dies
    with pytest.raises(type(dies)):
        box.run("b")
    box.systemd.dies = None
    assert box.run("b") == ["restart"]


def test_going_back_to_the_old_configuration_after_a_run_that_died_restarts_too(tmp_path: Path) -> None:
    """The unit may have been started on the new one before the run died."""
    box = Box(tmp_path, RUNNING)
    box.run("a")
    box.systemd.dies = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        box.run("b")
    box.systemd.dies = None
    assert box.run("a") == ["restart"]


def test_a_unit_that_did_not_come_up_is_started_by_the_next_run(tmp_path: Path) -> None:
    box = Box(tmp_path, RUNNING)
    box.systemd.comes_up = False
    with pytest.raises(ConvergeError, match="what went wrong"):
        box.run("a")
    box.systemd.comes_up = True
    assert box.run("a") == ["reset-failed", "restart"]


def test_a_unit_of_the_distribution_gets_its_former_state_back(tmp_path: Path) -> None:
    box = Box(tmp_path, STOPPED)
    box.run("a")
    assert box.run(name="") == ["stop", "disable"]
    assert not (tmp_path / "manifest.d/hdfs.json").exists()


def test_a_job_is_done_once_for_each_configuration(tmp_path: Path) -> None:
    box = Box(tmp_path, replace(STOPPED, ends=True, file_state="enabled"))
    box.systemd.state = replace(box.systemd.state, result="success")
    assert box.run("a") == ["restart"]
    box.systemd.state = replace(box.systemd.state, active="inactive")
    assert box.run("a") == []
    assert box.run("b") == ["restart"]


@pytest.mark.parametrize("name", ["x", "../x.service", "a/b.service", "x.conf", "", "x.service\n"])
def test_a_units_name_has_a_suffix_and_no_way_out(name: str) -> None:
    with pytest.raises(InputError, match="is not a unit's name"):
        unit_specs([{"name": name, "content_b64": None, "enabled": True, "state": "started"}])


def test_a_unit_that_another_role_has_started_on_the_same_is_not_restarted(tmp_path: Path) -> None:
    box = Box(tmp_path, RUNNING)
    option = {"name": "x.service", "content_b64": None, "enabled": True, "state": "started"}
    for role, config, told in (("hdfs", "a", ["restart"]), ("yarn", "a", []), ("spark", "b", ["restart"])):
        box.systemd.told = []
        call = Call(Manifest.load(role, tmp_path), "unit/main", {}, check=False)
        converge(call, [option], config, 1, box.systemd)
        assert box.systemd.told == told, role


def test_a_restart_that_is_held_back_stays_due_and_is_announced(tmp_path: Path) -> None:
    box = Box(tmp_path, RUNNING)
    box.run("a")
    for _ in range(2):
        assert box.run("b", hold=True) == []
        assert box.outcome.values["held"] == ["x.service"]
        assert box.outcome.values["restarted"] == []
        assert len(box.outcome.changes) == 1
        assert box.record["pending"], "the verifier must see it"
    assert box.run("b") == ["restart"]
    assert box.run("b", hold=True) == []
    assert box.outcome.changes == []
    assert "pending" not in box.record


def test_going_back_to_what_a_held_unit_still_runs_on_needs_no_restart(tmp_path: Path) -> None:
    box = Box(tmp_path, replace(RUNNING, invocation="1"))
    box.run("a")
    box.run("b", hold=True)
    assert box.record["invocation"] == "1"
    assert box.run("a") == []


def test_a_unit_that_does_not_run_is_not_held(tmp_path: Path) -> None:
    assert Box(tmp_path, STOPPED).run("a", hold=True) == ["enable", "restart"]


def test_a_unit_that_was_never_started_by_us_stays_due(tmp_path: Path) -> None:
    box = Box(tmp_path, RUNNING)
    assert box.run("a", hold=True) == []
    assert box.run("a") == ["restart"]


def test_a_held_restart_on_a_file_that_was_put_back_is_not_lost(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("ansible_collections.labctl.stacks.plugins.module_utils.units.FOLDER", tmp_path)
    box = Box(tmp_path / "root", RUNNING)
    text = base64.b64encode(b"[Install]\n").decode()
    box.run("a", content_b64=text)
    (tmp_path / "x.service").write_text("[Install]\n# edited\n")
    assert "restart" not in box.run("a", hold=True, content_b64=text)
    assert (tmp_path / "x.service").read_text() == "[Install]\n"
    assert "restart" in box.run("a", content_b64=text)
