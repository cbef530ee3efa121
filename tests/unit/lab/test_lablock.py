# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""lab.lock: what it keeps a lab to, and when it stops a run."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.lablock import LabLock, only_added
from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Store

A, B = "a" * 64, "b" * 64
ENTRY = """\
name: thing
summary: a thing
licence: MIT
default: "2"
versions:
  "1": &one
    sources:
      - archive: {files: {any: {urls: ["https://127.0.0.1:1/x"], digest: unpinned}}, select: [{from: "**", to: .}]}
  "2": *one
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts/thing.yml").write_text(ENTRY)
    return Store(tmp_path / "store", folders=(tmp_path / "artifacts",))


def test_the_first_to_resolve_locks_and_others_keep_to_it(tmp_path: Path, store: Store) -> None:
    lock = LabLock(tmp_path)
    assert lock.wanted("thing", None, store).version == "2"
    lock.record([("thing", "1", "x86_64", A), ("thing", "1", "aarch64", B)])
    wanted = lock.wanted("thing", None, store)
    assert (wanted.version, lock.version("thing")) == ("1", "1")
    assert lock.digest(wanted) in (A, B)
    assert lock.path.read_text() == (
        "# What this lab resolved to. labctl and Ansible keep to it; `labctl lock --upgrade` moves it. "
        "Keep it with lab.yml.\n"
        f"version: 1\nartifacts:\n  thing:\n    '1':\n      x86_64: {A}\n      aarch64: {B}\n"
    )


def test_another_version_stops_the_run(tmp_path: Path, store: Store) -> None:
    lock = LabLock(tmp_path)
    lock.record([("thing", "1", "x86_64", A)])
    with pytest.raises(PreflightError, match="thing 2 is asked for, but this lab keeps to 1") as failure:
        lock.wanted("thing", "2", store)
    assert failure.value.hint == "To move it: labctl lock --upgrade thing=2."
    lock.record([("thing", "2", "x86_64", B)])
    assert lock.wanted("thing", "2", store).version == "2"
    assert lock.version("thing") == "1"
    with pytest.raises(InputError, match="no version of thing '9'"):
        lock.wanted("thing", "9", store)


def test_version_that_the_catalogue_no_longer_has_stops_the_run(tmp_path: Path, store: Store) -> None:
    LabLock(tmp_path).record([("thing", "0", "x86_64", A)])
    with pytest.raises(PreflightError, match=r"keeps to thing 0 .* which the catalogue does not have"):
        LabLock(tmp_path).wanted("thing", None, store)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("version: [", "not readable"),
        ("version: 2\nartifacts: {}", "not a lock of version 1"),
        ("[]", "not a lock of version 1"),
        ("version: 1\nartifact: {}", "not a lock of version 1"),
        ("version: 1\nartifacts: []", "not a mapping"),
        ("version: 1\nartifacts: {thing: 1}", "thing has no versions"),
        ("version: 1\nartifacts: {thing: {'1': {}}}", "thing 1 has no digests"),
        (f"version: 1\nartifacts: {{thing: {{1: {{x86_64: {A}}}}}}}", "put numbers into quotes"),
        ("version: 1\nartifacts: {thing: {'1': {x86_64: abc}}}", "is not 64 hex digits"),
        ("", "not a lock of version 1"),
        ("\x00", "not readable"),
    ],
)
def test_lock_that_makes_no_sense_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "lab.lock").write_text(text)
    with pytest.raises(InputError, match=says) as failure:
        LabLock(tmp_path).read()
    assert str(tmp_path / "lab.lock") in str(failure.value)


def record(folder: Path, number: int) -> None:
    LabLock(folder).record([(f"thing{number}", "1", "x86_64", A)])


def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=record, args=(tmp_path, number)) for number in range(12)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert list(LabLock(tmp_path).read()) == sorted(f"thing{number}" for number in range(12))
    assert [path.name for path in tmp_path.iterdir()] == ["lab.lock"]


def test_only_what_is_added_leaves_hosts_as_they_are() -> None:
    def lock(*rows: str) -> bytes:
        return ("version: 1\nartifacts:\n" + "".join(f"  {row}\n" for row in rows)).encode()

    one, two = f"one: {{'1': {{x86_64: {A}}}}}", f"two: {{'1': {{x86_64: {A}}}}}"
    assert only_added(b"", lock(one))
    assert only_added(lock(one), lock(one, two))
    assert not only_added(lock(one, two), lock(one))
    assert not only_added(lock(one), lock(one.replace(A, B)))
    assert not only_added(lock(one), lock(f"one: {{'2': {{x86_64: {A}}}, '1': {{x86_64: {A}}}}}"))
    assert not only_added(b"version: [", lock(one))
