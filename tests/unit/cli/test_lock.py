# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl lock, and what a lock does to fetch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.lablock import LabLock
from labctl.ansible import runner
from labctl.ansible.outcome import Outcome
from unit.cli.done import Done
from unit.cli.test_artifacts import entry, server  # noqa: F401 - a fixture
from unit.lab.doubles import World, ok
from unit.store.doubles import RELEASE, Mirror, member, sends, sha512, tar

Labctl = Callable[..., Done]
OTHER = tar(member("thing-1/bin/tool", b"other", mode=0o755))


@pytest.fixture
def hadoop(lab: Path, server: Mirror, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """A lab whose stack needs the small artefact hadoop of its own catalogue, which is fetched and locked."""
    entry(lab, "hadoop", server.url("/hadoop", sends(RELEASE)))
    return lab


def locked(lab: Path) -> dict[str, dict[str, dict[str, str]]]:
    return LabLock(lab).read()


def test_nothing_is_locked_before_the_first_up(labctl: Labctl, hadoop: Path) -> None:
    shown = labctl("lock")
    assert shown.code == 0
    assert shown.out.splitlines()[1].split() == ["hadoop", "-", "-", "-", "1"]


def test_upgrade_locks_and_then_moves(labctl: Labctl, hadoop: Path, server: Mirror) -> None:  # noqa: F811
    first = labctl("lock", "--upgrade")
    assert first.code == 0
    assert first.out.startswith("hadoop: not locked -> 1 (")
    before = locked(hadoop)
    (row,) = json.loads(labctl("lock", "--json").out)
    assert (row["name"], row["version"], row["catalogue"]) == ("hadoop", "1", "1")
    assert row["digest"] == before["hadoop"]["1"][row["arch"]]
    assert labctl("lock", "--upgrade").err.endswith("nothing to move\n")
    # The entry now says other bytes of the same version.
    entry(hadoop, "hadoop", server.url("/new", sends(OTHER)), digest=sha512(OTHER))
    stopped = labctl("artifacts", "fetch")
    assert stopped.code == 3
    assert "digest" in stopped.err
    assert before["hadoop"]["1"][row["arch"]] in stopped.err
    assert "labctl lock --upgrade hadoop" in stopped.err
    assert locked(hadoop) == before
    assert labctl("lock", "--upgrade", "hadoop").code == 0
    assert locked(hadoop) != before
    assert labctl("artifacts", "fetch").code == 0


def test_names_without_upgrade_are_refused(labctl: Labctl, hadoop: Path) -> None:
    assert labctl("lock", "hadoop").code == 2


def test_plan_tells_the_locked_version(labctl: Labctl, hadoop: Path) -> None:
    LabLock(hadoop).record([("hadoop", "0", "x86_64", "a" * 64)])
    stopped = labctl("artifacts", "fetch")
    assert stopped.code == 3
    assert "keeps to hadoop 0" in stopped.err


ROW = ("hadoop", "1", "x86_64", "a" * 64)


def locking(lab: Path) -> Callable[[runner.Playbook], Outcome]:
    """A run that is the first to resolve an artefact, and so locks it, as the collection's action does."""

    def play(playbook: runner.Playbook) -> Outcome:
        LabLock(lab).record([ROW])
        return ok(playbook)

    return play


def test_what_a_run_locks_makes_no_host_stale_and_what_somebody_changes_does(
    labctl: Labctl, world: World, lab: Path
) -> None:
    world.outcomes["labctl.stacks.hadoop"] = locking(lab)
    assert labctl("up").code == 0
    world.calls.clear()
    again = labctl("up")
    assert (again.code, again.err, world.calls) == (0, "", [])
    text = (lab / "lab.lock").read_text()
    (lab / "lab.lock").write_text(text.replace("a" * 64, "b" * 64))
    assert "  all of them: lab.lock changed\n" in labctl("plan").out
    (lab / "lab.lock").write_text(text)
    assert labctl("plan").out.startswith("nothing to do")
    (lab / "lab.lock").unlink()
    assert "  all of them: lab.lock is gone\n" in labctl("plan").out


def test_entries_of_the_labs_own_are_inputs(labctl: Labctl, world: World, lab: Path) -> None:
    assert labctl("up").code == 0
    entry(lab, "one", "https://example.org/x")
    assert "  all of them: the lab's artifacts is new\n" in labctl("plan").out


def test_up_takes_unpinned_files_only_when_told(labctl: Labctl, world: World, lab: Path) -> None:
    assert labctl("up", "--accept-unpinned").code == 0
    assert "artefact hadoop on trust" in world.calls


def test_down_leaves_the_lock_of_a_lab_file_and_takes_that_of_a_default_one(
    labctl: Labctl, world: World, home: Path
) -> None:
    world.outcomes["labctl.stacks.hadoop"] = locking(home / ".labctl")
    assert labctl("up", "hadoop").code == 0
    assert (home / ".labctl/lab.lock").exists()
    assert labctl("down", "--yes").code == 0
    assert not (home / ".labctl").exists()
