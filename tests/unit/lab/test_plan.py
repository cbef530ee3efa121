# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which parts of a stack's playbook mend what drifted: never less than is wrong."""

from __future__ import annotations

import pytest
from labctl.lab.digest import Inputs
from labctl.lab.plan import Plan, Reasons, _drifted
from labctl.lab.verify import Drift, HostReport

HDFS = ("hdfs_install", "hdfs_configure", "hdfs_service")
YARN = ("yarn_install", "yarn_configure", "yarn_service")


def report(*drift: Drift, error: str = "") -> HostReport:
    return HostReport("a", True, error, {}, drift, 0.1)


def tags(reports: dict[str, HostReport], reasons: Reasons | None = None) -> tuple[str, ...]:
    inputs: Inputs = None  # type: ignore[assignment]  # nothing here asks for them
    roles = _drifted(reasons or {}, reports)
    return Plan((), (), inputs, drifted={"hadoop": roles} if roles else {}).tags("hadoop")


FILE = Drift("hdfs", "file", "/etc/hadoop/core-site.xml", "content", "a", "b")
UNIT = Drift("yarn", "unit", "yarn-nodemanager.service", "state", "active", "inactive")


def test_drift_of_a_role_takes_it_and_those_before_it() -> None:
    assert tags({"a": report(FILE), "b": report()}) == HDFS
    assert tags({"a": report(UNIT), "b": report()}) == (*HDFS, *YARN)
    assert tags({"a": report(FILE), "b": report(UNIT)}) == (*HDFS, *YARN)


@pytest.mark.parametrize(
    "unclear",
    [
        report(Drift("hdfs", "manifest", "hdfs", "sha256", "a", "b"), FILE),
        report(FILE, Drift("hdfs", "check", "port 9866", "answer", "open", "refused")),
        report(Drift("other", "file", "/etc/x", "content", "a", "b")),
        report(error="no python3"),
    ],
    ids=["manifest", "answer", "role of another stack", "host that cannot be looked at"],
)
def test_what_is_not_clear_takes_the_whole_playbook(unclear: HostReport) -> None:
    assert tags({"a": report(FILE), "b": unclear}) == ()


def test_an_input_that_changed_on_any_host_takes_the_whole_playbook() -> None:
    assert tags({"a": report(FILE)}, {"a": (), "b": ("lab.yml changed",)}) == ()
    assert tags({"a": report()}) == ()
