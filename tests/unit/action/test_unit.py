# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""unit's action: which calls it makes of the modules, in which order, and where it stops. The modules are doubles."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.action.unit import ActionModule
from ansible_collections.labctl.stacks.plugins.plugin_utils.rolling import Turns

ROLLING = {"service": "store", "checks": [{"name": "quorum", "port": 1}], "timeout": 9}
UNITS = [{"name": "store.service", "content": "x", "rolling": ROLLING}, {"name": "other.service"}]
HELD = {
    "changed": True,
    "changes": ["a: absent -> file", "store.service: running on an older text -> restarted"],
    "restarted": [],
    "held": ["store.service"],
    "manifest": {"role": "r", "sha256": "01"},
}
RESTARTED = {
    "changed": True,
    "changes": ["store.service: running on an older text -> restarted"],
    "restarted": ["store.service"],
    "held": [],
    "manifest": {"role": "r", "sha256": "02"},
}
SETTLED = {"changed": False, "changes": [], "restarted": [], "held": []}
SICK = {"failed": True, "msg": "not ready after 9 s\n  quorum: connection refused\nhint: look"}


class Action(ActionModule):  # type: ignore[misc]
    """The action on host w1 of w1 to w3; ``answers`` of the modules are given one by one."""

    def __init__(self, lab: Path, answers: list[Any], units: Any = None, check: bool = False, **args: Any) -> None:
        self._task = SimpleNamespace(
            args={"role": "r", "units": UNITS if units is None else units, **args},
            check_mode=check,
            delegate_to=None,
            async_val=0,
        )
        self._connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="x"))
        self._templar = SimpleNamespace(template=lambda value: value)
        self.lab = lab
        self.answers = answers
        self.calls: list[str] = []
        #: Marks of the service at each call.
        self.marked: list[list[str]] = []
        self.sent: list[dict[str, Any]] = []

    def _execute_module(self, module_name: str, module_args: dict[str, Any], task_vars: Any) -> Any:
        name = module_name.rpartition(".")[2]
        told = {"unit": lambda: ",".join(module_args.get("hold", [])), "ready": lambda: f"{module_args['timeout']:g}"}
        self.calls.append(f"{name} {told[name]()}".strip())
        self.sent.append(module_args)
        self.marked.append([path.name for path in sorted(self.lab.glob("rolling/store/[!.]*"))])
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return dict(answer)

    def go(self) -> dict[str, Any]:
        variables = {
            "inventory_hostname": "w1",
            "labctl_lab_dir": str(self.lab),
            "groups": {"all": ["w1", "w2", "w3"]},
            "ansible_play_hosts": ["w1", "w2", "w3"],
        }
        return dict(self.run(None, variables))


def turns(lab: Path, member: str, run: str = "earlier") -> Turns:
    return Turns(lab, "store", member, run)


def kept(lab: Path) -> str:
    return (lab / "manifests/w1/r.sha256").read_text().strip()


def test_a_member_is_restarted_between_two_looks_at_its_service(tmp_path: Path) -> None:
    action = Action(tmp_path, [HELD, {}, RESTARTED, {}])
    result = action.go()
    assert action.calls == ["unit store.service", "ready 9", "unit", "ready 9"]
    assert action.marked == [[], [], ["w1"], ["w1"]]
    assert result["restarted"] == ["store.service"]
    assert result["held"] == []
    assert result["changes"] == HELD["changes"], "what check mode announces, once"
    assert kept(tmp_path) == "02"
    assert not (tmp_path / "rolling").exists()
    assert action.sent[1]["record"] is False
    assert all("rolling" not in unit for unit in action.sent[0]["units"])


def test_nothing_due_takes_no_turn(tmp_path: Path) -> None:
    action = Action(tmp_path, [SETTLED])
    assert action.go()["changed"] is False
    assert action.calls == ["unit store.service"]
    assert list(tmp_path.iterdir()) == []


def test_check_mode_holds_nothing_back_and_takes_no_turn(tmp_path: Path) -> None:
    turns(tmp_path, "w2").mark("broken", failed=True)
    action = Action(tmp_path, [RESTARTED], check=True)
    assert action.go()["changes"] == RESTARTED["changes"]
    assert action.calls == ["unit"]


def test_without_rolling_units_the_module_is_called_once(tmp_path: Path) -> None:
    action = Action(tmp_path, [RESTARTED], units=[{"name": "store.service", "rolling": {}}])
    action.go()
    assert action.calls == ["unit"]


def test_an_unhealthy_service_is_left_alone_and_the_next_member_takes_one_look(tmp_path: Path) -> None:
    for calls in (["unit store.service", "ready 9"], ["unit store.service", "ready 2"]):
        action = Action(tmp_path, [HELD, SICK])
        result = action.go()
        assert action.calls == calls
        assert result["failed"]
        assert "store was not restarted on w1, because it is not healthy" in result["msg"]
        assert "quorum: connection refused" in result["msg"]
        assert result["held"] == ["store.service"]
    assert turns(tmp_path, "w2").marks() == {}
    assert kept(tmp_path) == "01"


def test_a_member_that_does_not_come_up_is_remembered(tmp_path: Path) -> None:
    failed = {"failed": True, "msg": "store.service did not come up", "not_up": ["store.service"]}
    action = Action(tmp_path, [HELD, {}, failed])
    assert action.go()["msg"] == "store.service did not come up"
    mark = turns(tmp_path, "w2").marks()["w1"]
    assert (mark.why, mark.failed) == ("store.service did not come up after a restart", True)


@pytest.mark.parametrize("dies", [KeyboardInterrupt(), OSError("the connection")])
def test_a_run_that_dies_during_a_restart_leaves_a_mark(tmp_path: Path, dies: BaseException) -> None:
    action = Action(tmp_path, [HELD, {}, dies])
    with pytest.raises(type(dies)):
        action.go()
    assert turns(tmp_path, "w2").marks()["w1"].failed


def test_a_service_that_does_not_become_healthy_again_is_remembered(tmp_path: Path) -> None:
    action = Action(tmp_path, [HELD, {}, RESTARTED, SICK])
    result = action.go()
    assert result["failed"]
    assert "store on w1 runs and did not become healthy" in result["msg"]
    assert turns(tmp_path, "w2").marks()["w1"].failed


def test_a_marked_member_needs_no_healthy_service_and_is_cleared_by_one(tmp_path: Path) -> None:
    for name in ("w1", "w2"):
        turns(tmp_path, name).mark("broken", failed=True)
    action = Action(tmp_path, [HELD, RESTARTED, {}])
    assert not action.go().get("failed")
    assert action.calls == ["unit store.service", "unit", "ready 9"]
    assert list(turns(tmp_path, "w3").marks()) == ["w2"]


def test_a_marked_member_that_was_only_started_is_seen_healthy_before_it_is_cleared(tmp_path: Path) -> None:
    started = {"changed": True, "changes": [], "started": ["store.service"], "held": []}
    for answer, left in ((SICK, ["w1"]), ({}, [])):
        turns(tmp_path, "w1").mark("broken", failed=True)
        action = Action(tmp_path, [started, answer])
        assert bool(action.go().get("failed")) == bool(left)
        assert action.calls == ["unit store.service", "ready 9"]
        assert list(turns(tmp_path, "w2").marks()) == left


def test_a_failed_start_is_remembered_if_it_is_the_members(tmp_path: Path) -> None:
    for unit, marks in (("other.service", []), ("store.service", ["w1"])):
        Action(tmp_path, [{"failed": True, "msg": "no", "not_up": [unit]}]).go()
        assert list(turns(tmp_path, "w2").marks()) == marks


def test_the_member_in_the_way_is_named(tmp_path: Path) -> None:
    turns(tmp_path, "w9").mark("of a host that is no more", failed=True)
    turns(tmp_path, "w2", run="").mark("store.service did not come up", failed=True)
    action = Action(tmp_path, [HELD])
    action._task.args["units"] = [{**UNITS[0], "rolling": {**ROLLING, "timeout": 0.1}}]
    result = action.go()
    assert "on w2 store.service did not come up" in result["msg"]
    assert "hint: mend w2" in result["msg"]
    assert result["held"] == ["store.service"]


def test_hold_is_not_for_playbooks(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="'hold' is not for use in playbooks"):
        Action(tmp_path, [], hold=["store.service"]).go()
