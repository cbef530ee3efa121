# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose turn it is in a replicated service: never two members at once, none after one that did not come back."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError, InputError
from ansible_collections.labctl.stacks.plugins.plugin_utils.rolling import Turns, rolling_units

CHECKS = [{"name": "it answers", "port": 1}]
HOSTS = ["w1", "w2", "w3"]


class Clock:
    """Time that passes by sleeping; ``then`` is done after so many sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.then: dict[int, Any] = {}
        self.slept = 0

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += 1
        self.then.pop(self.slept, lambda: None)()


def turns(folder: Path, member: str, run: str = "now", clock: Clock | None = None) -> Turns:
    clock = clock or Clock()
    return Turns(folder, "store", member, run, clock=lambda: clock.now, sleep=clock.sleep)


def test_a_turn_leaves_nothing_behind(tmp_path: Path) -> None:
    with turns(tmp_path, "w1").taken(HOSTS, 1):
        assert (tmp_path / "rolling/store").stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


def test_two_members_never_have_their_turns_at_once(tmp_path: Path) -> None:
    inside: list[str] = []
    most: list[int] = []

    def member(name: str) -> None:
        for _ in range(20):
            with Turns(tmp_path, "store", name, "now", sleep=lambda _: None).taken(HOSTS, 5):
                inside.append(name)
                most.append(len(inside))
                inside.remove(name)

    threads = [threading.Thread(target=member, args=(name,)) for name in HOSTS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 60
    assert list(tmp_path.iterdir()) == []


def test_a_member_that_did_not_come_back_stops_the_others_of_its_run_at_once(tmp_path: Path) -> None:
    turns(tmp_path, "w1").mark("store.service did not come up", failed=True)
    clock = Clock()
    with pytest.raises(ConvergeError, match=r"on w1 store\.service did not come up") as caught:
        turns(tmp_path, "w2", clock=clock).taken(HOSTS, 60).__enter__()
    assert "mend w1" in caught.value.hint
    assert clock.slept == 0


def test_a_member_left_by_an_earlier_run_is_waited_for_while_this_run_may_mend_it(tmp_path: Path) -> None:
    first = turns(tmp_path, "w1", run="earlier")
    first.mark("it was killed", failed=False)
    clock = Clock()
    clock.then[3] = first.clear
    with turns(tmp_path, "w2", clock=clock).taken(HOSTS, 60):
        assert clock.slept == 3
    first.mark("it was killed", failed=True)
    with pytest.raises(ConvergeError, match="on w1 it was killed"):
        turns(tmp_path, "w2", clock=clock).taken(HOSTS, 60).__enter__()
    assert clock.now >= 60
    before = clock.now
    with pytest.raises(ConvergeError):
        turns(tmp_path, "w2", clock=clock).taken(["w2", "w3"], 60).__enter__()
    assert clock.now == before, "a member that is not part of this run is not waited for"


def test_a_marked_member_may_go_whatever_the_others_are(tmp_path: Path) -> None:
    for name in ("w1", "w2"):
        turns(tmp_path, name).mark("broken", failed=True)
    with turns(tmp_path, "w1").taken(HOSTS, 0):
        pass
    assert set(turns(tmp_path, "w3").marks()) == {"w1", "w2"}


def test_marks_of_hosts_that_left_the_lab_are_dropped_and_damaged_ones_count(tmp_path: Path) -> None:
    turns(tmp_path, "gone").mark("broken", failed=True)
    (tmp_path / "rolling/store/w1").write_text("{")
    mine = turns(tmp_path, "w2")
    mine.forget_strangers(HOSTS)
    assert {name: mark.why for name, mark in mine.marks().items()} == {"w1": "its mark cannot be read"}
    turns(tmp_path, "w1").clear()
    assert list(tmp_path.iterdir()) == []


def test_trouble_is_told_to_this_run_only_and_forgotten(tmp_path: Path) -> None:
    mine = turns(tmp_path, "w1")
    with mine.taken(HOSTS, 0):
        mine.note_trouble("no answer")
    assert turns(tmp_path, "w2").trouble == "no answer"
    assert turns(tmp_path, "w2", run="next").trouble == ""
    with turns(tmp_path, "w2", run="next").taken(HOSTS, 0):
        turns(tmp_path, "w2", run="next").note_trouble("")
    assert list(tmp_path.iterdir()) == []


def test_a_members_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    turns(tmp_path, "../../x").mark("broken", failed=True)
    assert [path.name for path in (tmp_path / "rolling/store").iterdir()] == ["_.._x"]


@pytest.mark.parametrize(
    ("rolling", "told"),
    [
        ("store", "rolling is no dictionary"),
        ({"checks": CHECKS}, "missing required arguments: service"),
        ({"service": "store"}, "missing required arguments: checks"),
        ({"service": "store", "checks": []}, "there are no checks"),
        ({"service": "../x", "checks": CHECKS}, "is not a service's name"),
        ({"service": "store", "checks": CHECKS, "wait": 3}, "wait"),
        ({"service": "store", "checks": [{"name": "x", "url": "ftp://x"}]}, "is no http or https address"),
        ({"service": "store", "checks": [{"name": "x"}]}, "exactly one of"),
    ],
)
def test_what_rolling_cannot_be_is_refused(rolling: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        rolling_units([{"name": "store.service", "rolling": rolling}])


def test_units_without_rolling_are_no_members() -> None:
    units = [{"name": "a.service"}, {"name": "b.service", "rolling": {}}, {"name": "c.service", "rolling": None}]
    assert rolling_units(units) == {}
    (one,) = rolling_units([{"name": "d.service", "rolling": {"service": "store", "checks": CHECKS}}]).values()
    assert (one.service, one.timeout, one.checks[0]["status"]) == ("store", 120, 200)
