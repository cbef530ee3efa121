# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of ansible-runner's events."""

from __future__ import annotations

from typing import Any

import pytest
from labctl.ansible.outcome import Failure, Reader, failure_text
from labctl.lab.events import Event


def read(*events: tuple[str, dict[str, Any]], verbosity: int = 0) -> tuple[Reader, list[Event]]:
    heard: list[Event] = []
    reader = Reader("labctl.stacks.hadoop", heard.append, verbosity)
    for kind, data in events:
        stdout = data.pop("stdout", "")
        reader.take({"event": kind, "event_data": data, "stdout": stdout})
    return reader, heard


TASK = {"task": "Configure | Write the files", "role": "labctl.stacks.hdfs", "duration": 1.5}


def test_a_run_that_changes_something() -> None:
    reader, heard = read(
        ("playbook_on_task_start", {**TASK, "name": "labctl.stacks.hdfs : Configure | Write the files"}),
        ("runner_on_ok", {**TASK, "host": "a", "res": {"changed": True}}),
        ("runner_on_ok", {**TASK, "host": "b", "res": {"changed": False}}),
        ("playbook_on_stats", {"processed": {"a": 1, "b": 1}, "failures": {}, "dark": {}}),
    )
    outcome = reader.end(0, 9.0)
    assert outcome.ok
    assert (outcome.tasks, outcome.changed, outcome.hosts) == (1, 1, ("a", "b"))
    assert outcome.changes == [("a", "hdfs: Configure | Write the files")]
    assert outcome.role_seconds == {"hdfs": 3.0}
    assert [(event.kind, event.subject) for event in heard] == [
        ("task", "hdfs: Configure | Write the files"),
        ("result", "a"),
        ("result", "b"),
    ]


def test_failures_are_those_of_hosts_that_end_badly() -> None:
    rescued = {**TASK, "host": "a", "res": {"msg": "made good later"}}
    reader, heard = read(
        ("runner_on_failed", {**TASK, "host": "a", "res": {"msg": "asked for"}, "ignore_errors": True}),
        ("runner_on_failed", rescued),
        ("runner_on_failed", {**TASK, "host": "b", "res": {"msg": "Task failed: Module failed: port in use"}}),
        ("runner_on_unreachable", {"task": "Gather", "host": "c", "res": {"msg": "timed out", "unreachable": True}}),
        ("playbook_on_stats", {"processed": {"a": 1, "b": 1, "c": 1}, "failures": {"b": 1}, "dark": {"c": 1}}),
    )
    outcome = reader.end(4, 1.0)
    assert not outcome.ok
    assert outcome.failures == [
        Failure("b", "hdfs: Configure | Write the files", "port in use"),
        Failure("c", "Gather", "timed out", unreachable=True),
    ]
    assert ("failure", "b") in [(event.kind, event.subject) for event in heard]


def test_no_host_is_no_success() -> None:
    reader, _ = read(("playbook_on_stats", {"processed": {}}))
    assert not reader.end(0, 1.0).ok


def test_what_debug_tasks_show_is_kept() -> None:
    def said(result: dict[str, Any]) -> list[str]:
        reader, _ = read(
            ("runner_on_ok", {"host": "a", "task": "Show", "task_action": "ansible.builtin.debug", "res": result})
        )
        return reader.outcome.messages

    assert said({"msg": "one\ntwo", "changed": False}) == ["one", "two"]
    assert said(
        {"hadoop_check_result.report": ["8 splits", "2 workers"], "changed": False, "_ansible_no_log": None}
    ) == [
        "8 splits",
        "2 workers",
    ]


def test_errors_before_any_host() -> None:
    reader, _ = read(("verbose", {"stdout": "\x1b[0;31m[ERROR]: the playbook could not be found\x1b[0m"}))
    assert reader.end(1, 1.0).errors == ["[ERROR]: the playbook could not be found"]


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({}, "no reason was given"),
        ({"msg": "Task failed: no route"}, "no route"),
        ({"msg": "non-zero return code", "stderr": "a\nb\nc\nd\ne\nf", "stdout": "x"},
         "non-zero return code\nb\nc\nd\ne\nf"),
        ({"censored": "the output has been hidden", "msg": "s3cret"},
         "the result is hidden, because it could hold a secret"),
        ({"results": [{"failed": True, "msg": "one"}, {"msg": "fine"}, {"failed": True, "msg": "two"}]}, "one\ntwo"),
        ({"msg": "\x1b[31mred\x1b[0m \x07bell \u202eflip"}, "red  bell  flip"),
        ({"msg": "x" * 5000}, "x" * 1997 + "..."),
    ],
)  # fmt: skip
def test_failure_text(result: dict[str, Any], text: str) -> None:
    assert failure_text(result) == text


def test_a_record_holds_names_and_counts_only() -> None:
    reader, _ = read(
        ("runner_on_failed", {**TASK, "host": "b", "res": {"msg": "s3cret", "invocation": {"module_args": "s3cret"}}}),
        ("playbook_on_stats", {"processed": {"b": 1}, "failures": {"b": 1}}),
    )
    assert "s3cret" not in str(reader.end(2, 1.0).summary())
