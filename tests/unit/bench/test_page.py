# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page, the time line, the choice of cases, and that the conventional playbook is what it is said to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.conventional import FOLDER, counts
from bench.figures import Goal, Row
from bench.page import Page, text
from bench.run import CASES, chosen
from bench.timeline import spans, timeline

ROWS = [Row("no-op", "s", "none", None, 0.4, Goal("at most", 1, "labctl"))]
RECORD = {"timings": {"hosts": 1.0, "artefact hadoop": 0.2, "ansible": 0.5, "hadoop": 8.0, "verify": 0.5, "all": 10.0}}
EVENTS: list[list[Any]] = [
    [0.1, "phase", "hosts", "making hosts and fetching artefacts"],
    [1.1, "phase", "hadoop", "converging hadoop"],
    [2.0, "task", "hdfs: Install", ""],
    [3.0, "task", "hdfs: Configure", ""],
    [3.5, "result", "head", "ok: hdfs: Install"],
    [4.5, "result", "worker1", "changed: hdfs: Install"],
    [9.4, "result", "head", "ok: hdfs: Configure"],
]


def test_the_page_says_what_was_measured_with_what_and_what_it_means() -> None:
    page = text(Page("Median of 5 rounds; 2 CPUs.", ROWS, ["**No-op.** A second up."], "a bar", {"no-op, s": [0.4]}))
    assert page.startswith("# Performance\n\nWritten by `make bench`")
    for part in ("Median of 5 rounds; 2 CPUs.", "| no-op, s | none | 0.40 |", "**No-op.** A second up.", "a bar"):
        assert part in page
    assert "Not to be believed" not in page
    assert page.endswith("|\n")


def test_problems_stand_above_the_explanations() -> None:
    page = text(Page("", ROWS, ["**No-op.**"], problems=["the baseline slept"]))
    assert page.index("Not to be believed:\n\n- the baseline slept") < page.index("## What each row is")


def test_spans_overlap_and_last_until_the_last_host_is_done() -> None:
    assert spans(RECORD, EVENTS) == [
        ("hosts", 0.0, 1.0),
        ("artefact hadoop", 0.0, 0.2),
        ("ansible", 0.0, 0.5),
        ("Ansible starts and reads the inventory", 1.1, 2.0),
        ("hdfs: Install", 2.0, 4.5),
        ("hdfs: Configure", 3.0, 9.4),
        ("the final look at every host", 9.5, 10.0),
    ]


def test_the_time_line_begins_with_what_begins_first() -> None:
    lines = timeline(RECORD, EVENTS).splitlines()
    assert [line.split("  ")[0] for line in lines][:3] == ["artefact hadoop", "ansible", "hosts"]
    assert len({len(line) for line in lines}) == 1
    assert lines[-1].endswith("##|")


def test_cases_are_chosen_by_how_their_names_begin() -> None:
    assert chosen("") == list(CASES)
    assert chosen("noop, plan") == ["plan", "noop3", "noop8"]
    with pytest.raises(SystemExit, match="no case 'nop'; known: start, plan,"):
        chosen("noop,nop")


def test_every_case_explains_itself() -> None:
    for _, about in CASES.values():
        assert about.startswith("**") and len(about) > 200


def test_a_recap_is_summed_over_hosts() -> None:
    recap = (
        "PLAY RECAP ****\n"
        "head     : ok=36   changed=0    unreachable=0    failed=0    skipped=4    rescued=0    ignored=0   \n"
        "worker1  : ok=27   changed=2    unreachable=0    failed=0    skipped=13   rescued=0    ignored=0   \n"
    )
    assert {name: counts(recap)[name] for name in ("ok", "changed", "failed")} == {"ok": 63, "changed": 2, "failed": 0}
    assert counts("nothing of the kind") == {}


def conventional_tasks() -> list[dict[str, Any]]:
    files = sorted((FOLDER / "roles/hadoop/tasks").glob("*.yml"))
    listed = [task for path in files for task in yaml.safe_load(path.read_text())]
    return [task for task in listed if not {"ansible.builtin.import_tasks", "ansible.builtin.meta"} & set(task)]


def test_the_conventional_playbook_has_forty_tasks_and_no_sleep() -> None:
    tasks = conventional_tasks()
    assert len(tasks) == 40
    assert not any("ansible.builtin.pause" in task for task in tasks)
    used = {key for task in tasks for key in task if key.startswith("ansible.builtin.")}
    assert {f"ansible.builtin.{name}" for name in ("package", "user", "group", "file", "template", "copy")} <= used


def test_the_conventional_playbook_keeps_to_paths_of_its_own() -> None:
    for path in sorted(Path(FOLDER / "roles").rglob("*")):
        if path.is_file():
            for owned in (
                "/etc/hadoop",
                "/opt/hadoop",
                "/var/lib/hdfs",
                "/var/lib/yarn",
                "/etc/labctl",
                "hdfs-namenode",
            ):
                assert owned not in path.read_text(), path
