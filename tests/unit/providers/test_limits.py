# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of the machine's kernel that hosts need raised, and that go back with the last lab."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import limits

INSTANCES, WATCHES = limits.WANTED


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(limits, "PROC", tmp_path / "proc")
    for name, value in ((INSTANCES, "128"), (WATCHES, "600000")):
        path = tmp_path / "proc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return tmp_path / "proc"


def test_what_is_low_is_raised_and_put_back(proc: Path, tmp_path: Path) -> None:
    marker = tmp_path / "limits.json"
    assert limits.low()
    assert limits.ensure(marker, "boot")
    assert (proc / INSTANCES).read_text() == "8192"
    assert (proc / WATCHES).read_text() == "600000\n", "what is high enough stays"
    assert not limits.low()
    assert not limits.ensure(marker, "boot")
    assert limits.restore(marker, "boot")
    assert (proc / INSTANCES).read_text() == "128"
    assert not marker.exists()


def test_a_second_low_value_does_not_forget_the_first(proc: Path, tmp_path: Path) -> None:
    marker = tmp_path / "limits.json"
    limits.ensure(marker, "boot")
    (proc / WATCHES).write_text("1000")
    limits.ensure(marker, "boot")
    limits.restore(marker, "boot")
    assert ((proc / INSTANCES).read_text(), (proc / WATCHES).read_text()) == ("128", "1000")


@pytest.mark.parametrize("text", ["", "{}", '{"boot": "another", "before": {"fs/inotify/max_user_instances": 1}}'])
def test_nothing_is_put_back_that_was_not_ours(proc: Path, tmp_path: Path, text: str) -> None:
    marker = tmp_path / "limits.json"
    marker.write_text(text)
    (proc / INSTANCES).write_text("8192")
    assert not limits.restore(marker, "boot")
    assert (proc / INSTANCES).read_text() == "8192"


def test_what_an_administrator_set_since_stays(proc: Path, tmp_path: Path) -> None:
    marker = tmp_path / "limits.json"
    limits.ensure(marker, "boot")
    (proc / INSTANCES).write_text("9999")
    assert not limits.restore(marker, "boot")
    assert (proc / INSTANCES).read_text() == "9999"
