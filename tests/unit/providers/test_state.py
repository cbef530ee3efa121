# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""State files and locks."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import LockedError, ProviderError
from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import state

ID, OTHER = "0123456789abcdef", "fedcba9876543210"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"name": "x"}', '{"name": "demo", "id": "1"}'])
def test_a_record_that_makes_no_sense_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "lab.json").write_text(text)
    assert state.read(tmp_path / "lab.json", state.LabRecord) is None


def test_a_record_of_a_newer_version_is_read_as_far_as_known(tmp_path: Path) -> None:
    (tmp_path / "r").write_text('{"pid": 1, "start": 2, "boot": "b", "colour": "red"}')
    assert state.read(tmp_path / "r", state.RunRecord) == state.RunRecord(1, 2, "b")


def test_records_come_back_as_written_and_everybody_may_read_them(tmp_path: Path) -> None:
    record = state.LabRecord("demo", ID, "/lab", "10.1.2.0/24", "labctl-01234567", {"head": "10.1.2.2"})
    old = os.umask(0o077)
    try:
        state.write(tmp_path / "lab.json", record)
    finally:
        os.umask(old)
    assert state.read(tmp_path / "lab.json", state.LabRecord) == record
    assert stat.S_IMODE((tmp_path / "lab.json").stat().st_mode) == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["lab.json"]


def test_writing_does_not_follow_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "r").symlink_to(tmp_path / "precious")
    state.write(tmp_path / "r", {"a": 1})
    assert (tmp_path / "precious").read_text() == "precious"


def test_labs_are_told_apart_by_name_and_id(tmp_path: Path) -> None:
    for folder in (f"demo-{ID}", f"demo-{OTHER}", f"demo-2-{ID}", "demo-nonsense"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "lab.json").touch()
    (tmp_path / "demo-aaaaaaaaaaaaaaaa").mkdir()
    assert state.ids_of("demo", tmp_path) == [ID, OTHER]
    assert state.ids_of("none", tmp_path / "missing") == []


def test_hosts_are_known_by_any_trace_of_them(tmp_path: Path) -> None:
    layout = state.Layout("demo", ID, tmp_path)
    (layout.folder / "folderonly").mkdir(parents=True)
    layout.run_file("runonly").touch()
    state.write(layout.lab_file, state.LabRecord("demo", ID, "/lab", addresses={"allotted": "10.1.2.2"}))
    assert layout.known_hosts() == ["allotted", "folderonly", "runonly"]


def test_a_lock_is_held_by_one_and_leaves_no_file(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with state.locked(folder, wait=False):
        assert list(folder.iterdir()) == []
        with pytest.raises(LockedError), state.locked(folder, wait=False):
            pass
    with state.locked(folder, wait=False):
        pass


def test_who_waited_for_a_folder_that_was_removed_gets_a_new_one(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    seen: list[bool] = []

    def second() -> None:
        with state.locked(folder, wait=True):
            seen.append(folder.is_dir())

    with state.locked(folder, wait=False):
        thread = threading.Thread(target=second)
        thread.start()
        while not thread.is_alive():
            pass
        folder.rmdir()
    thread.join(10)
    assert seen == [True]


def test_a_link_is_not_locked(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "lab").symlink_to(tmp_path / "real")
    with pytest.raises(ProviderError, match="cannot be used"), state.locked(tmp_path / "lab", wait=False):
        pass
