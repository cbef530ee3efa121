# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl demo: whose, what it prints, and that it makes no host stale."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.lab import load_lab
from labctl.ansible.outcome import Failure
from labctl.lab import demo
from labctl.lab.records import State
from unit.cli.done import Done
from unit.lab.doubles import World, failed, ok

Labctl = Callable[..., Done]
PAGE = "http://10.9.0.3:30080/"


@pytest.fixture
def running(labctl: Labctl, world: World, lab: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A lab that is up, whose stack has a demo."""
    assert labctl("up").code == 0
    world.calls.clear()
    (tmp_path / "collection/playbooks").mkdir(parents=True)
    (tmp_path / "collection/playbooks/hadoop_demo.yml").write_text("")
    monkeypatch.setattr(demo, "collection_root", lambda: tmp_path / "collection")
    world.outcomes["labctl.stacks.hadoop_demo"] = lambda p: ok(p, messages=[PAGE])
    return lab


def leave(lab: Path, role: str, digest: str | None) -> None:
    """What the collection's actions keep in the lab folder."""
    path = lab / ".labctl/manifests/head" / f"{role}.sha256"
    if digest is None:
        path.unlink()
    else:
        path.write_text(f"{digest}\n")


def manifests(lab: Path) -> dict[str, str]:
    return State(load_lab(lab / "lab.yml")).manifests("head")


def test_it_runs_and_says_where_the_page_is(labctl: Labctl, world: World, running: Path) -> None:
    done = labctl("demo")
    assert (done.code, done.out) == (0, f"{PAGE}\n")
    assert json.loads(labctl("demo", "hadoop", "--json").out) == {"stack": "hadoop", "pages": [PAGE]}
    assert world.calls == ["play labctl.stacks.hadoop_demo"] * 2
    world.calls.clear()
    done = labctl("demo", "--remove")
    assert (done.code, done.out) == (0, "")
    assert "The demo of hadoop is gone." in done.err
    assert world.calls == ["play labctl.stacks.hadoop_demo_remove"]


def test_what_it_leaves_makes_no_host_stale_and_hides_nothing_else(labctl: Labctl, world: World, running: Path) -> None:
    before = manifests(running)
    leave(running, "hadoop_demo", "dd" * 32)
    assert labctl("demo").code == 0
    assert manifests(running) == before | {"hadoop_demo": "dd" * 32}
    world.calls.clear()
    assert labctl("up").code == 0
    assert not [call for call in world.calls if call.startswith("play")]
    leave(running, "hdfs", "ee" * 32)
    assert labctl("demo").code == 0
    assert manifests(running)["hdfs"] == before["hdfs"], "somebody else's run is still to be looked at"
    leave(running, "hadoop_demo", None)
    assert labctl("demo", "--remove").code == 0
    assert manifests(running) == before


def test_a_demo_that_fails_names_the_host_and_the_task(labctl: Labctl, world: World, running: Path) -> None:
    world.outcomes["labctl.stacks.hadoop_demo"] = lambda p: failed(p, Failure("head", "Install its chart", "no room"))
    done = labctl("demo")
    assert (done.code, done.out) == (5, "")
    assert "head, Install its chart: no room" in done.err


@pytest.mark.parametrize(
    ("argv", "words"),
    [(["demo", "hadop"], "does not run 'hadop'"), (["demo"], "say which demo: lab demo has none")],
)
def test_whose_demo_must_be_clear(labctl: Labctl, world: World, lab: Path, argv: list[str], words: str) -> None:
    done = labctl(*argv)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert not world.calls


def test_a_stack_without_a_demo_says_so(labctl: Labctl, world: World, lab: Path) -> None:
    assert "error: hadoop has no demo\n" in labctl("demo", "hadoop").err
