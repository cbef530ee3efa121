# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of runs, what gets into them and what never does, and labs that are made again from them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from labctl.ansible.outcome import Failure
from labctl.lab import backend, digest
from labctl.lab.events import Event
from unit.cli.done import LAB, Done
from unit.lab.doubles import World, failed, ok

Labctl = Callable[..., Done]
CANARY = "canary-51fe"
THING = {"client": {"manifests": {"hdfs": "a1"}, "things": {"hdfs": {"file /etc/hadoop/core-site.xml": "11"}}}}


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch, world: World) -> dict[str, Any]:
    """What the next run leaves on its hosts."""
    things: dict[str, Any] = json.loads(json.dumps(THING))
    monkeypatch.setattr(backend, "left_behind", lambda lab, hosts: things)
    return things


@pytest.fixture
def up(labctl: Labctl, world: World, lab: Path, left: dict[str, Any]) -> Path:
    assert labctl("up").code == 0
    world.calls.clear()
    return lab


def ids(labctl: Labctl) -> list[str]:
    return [row["run"] for row in json.loads(labctl("runs", "list", "--json").out)]


def test_runs_are_listed_oldest_first(labctl: Labctl, world: World, lab: Path) -> None:
    assert labctl("runs", "list") == Done(0, "", "no runs yet: labctl up\n")
    world.outcomes["labctl.stacks.hadoop"] = lambda p: ok(p, changed=2, changes=[("head", "a"), ("head", "b")])
    labctl("up", "--skip-check")
    labctl("up", "--skip-check")
    world.outcomes["labctl.stacks.hadoop"] = lambda p: failed(p, Failure("head", "hdfs: Configure", "no room"))
    labctl("-v", "up", "--full")
    done = labctl("runs", "list")
    plain = re.sub(r"\b\d+\.\d\b", "N", re.sub(r"\d\S*T\d\S+", "WHEN", re.sub(r" +", " ", done.out)))
    assert plain.splitlines() == [
        "RUN COMMAND STARTED RESULT SECONDS CHANGES",
        "WHEN labctl up --skip-check WHEN done N 2",
        "WHEN labctl up --skip-check WHEN done N 0",
        "WHEN labctl -v up --full WHEN failed N 0",
    ]
    assert ids(labctl) == sorted(ids(labctl))


def test_a_run_is_shown_with_what_it_ran_on_and_what_it_did(labctl: Labctl, world: World, up: Path) -> None:
    (up / "host_vars").mkdir()
    (up / "host_vars/worker1.yml").write_text("a: 1\n")
    world.outcomes["labctl.stacks.hadoop"] = lambda p: failed(p, Failure("worker1", "hdfs: Configure", "no room"))
    labctl("up")
    out = labctl("runs", "show", "last").out
    assert re.sub(r"\d{8}T[^ :]+|\d{4}-[^ ,]+|\b[\dN.]+ s\b", "X", out).splitlines() == [
        "X: labctl up",
        "X, X, failed: hadoop: 1 of 3 hosts failed on lab demo",
        out.splitlines()[2],
        "artefact hadoop 1.0 d1",
        "hadoop on worker1: host_vars/worker1.yml is new",
        "labctl.stacks.hadoop: 3 tasks, X, exit code 2",
        "  failed worker1: hdfs: Configure",
    ]
    assert out.splitlines()[2].startswith("with ansible-core ")
    assert labctl("runs", "show", ids(labctl)[0][:-2]).code == 0


@pytest.mark.parametrize(
    ("name", "err"),
    [
        ("nothing", "error: lab demo has no run 'nothing'\n"),
        ("2", "error: several runs begin with 2: "),
        ("../../x", "error: lab demo has no run '../../x'\n"),
    ],
)
def test_a_run_that_is_not_there(labctl: Labctl, world: World, up: Path, name: str, err: str) -> None:
    labctl("up", "--full")
    done = labctl("runs", "show", name)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(err)


def test_no_value_gets_into_a_record_at_any_verbosity(labctl: Labctl, world: World, lab: Path) -> None:
    (lab / "lab.yml").write_text(LAB + f"vars: {{some_password: {CANARY}}}\n")
    (lab / "group_vars").mkdir()
    (lab / "group_vars/all.yml").write_text(f"token: {CANARY}\n")
    play = world.play

    def loud(playbook: Any, listener: Callable[[Event], None]) -> Any:
        listener(Event("output", "verbose", f"module arguments: {CANARY}"))
        return play(playbook, listener)

    world.play = loud  # type: ignore[method-assign]
    world.outcomes["labctl.stacks.hadoop"] = lambda p: ok(p, diffs=[("head", "/f", CANARY, CANARY)], messages=[CANARY])
    for words in (["up"], ["up", "--full", "--diff"], ["up", "--full", "--check"], ["check"]):
        assert labctl(*words, "-vvvv").code == 0
    kept = [path for path in (lab / ".labctl").rglob("*") if path.is_file()]
    assert any(path.name == "events.jsonl" for path in kept)
    with_canary = [path for path in kept if CANARY in path.read_text(errors="replace")]
    assert with_canary, "the inputs are kept for replay"
    assert {path.parent for path in with_canary} == {lab / ".labctl/secrets/inputs"}
    assert {path.stat().st_mode & 0o077 for path in with_canary} == {0}
    assert (lab / ".labctl/secrets").stat().st_mode & 0o077 == 0


def test_inputs_that_no_record_names_go(labctl: Labctl, world: World, up: Path) -> None:
    folder = up / ".labctl/secrets/inputs"
    (folder / "0123").write_text("of a run that was pruned")
    before = {path.name for path in folder.iterdir()} - {"0123"}
    (up / "lab.yml").write_text(LAB + "# a word\n")
    labctl("up")
    assert {path.name for path in folder.iterdir()} > before
    assert not (folder / "0123").exists()


def test_replay_makes_the_lab_of_a_run_again(labctl: Labctl, world: World, up: Path) -> None:
    (up / "lab.yml").write_text("# mine\n" + LAB + "vars: {a: 2}\n")
    (up / "host_vars").mkdir()
    (up / "host_vars/worker1.yml").write_text("b: 3\n")
    labctl("up")
    (up / "lab.yml").write_text(LAB)
    (up / "host_vars/worker1.yml").unlink()
    (up / "nspawn.yml").unlink()
    done = labctl("replay", ids(labctl)[1], "--into", "again")
    assert (done.code, done.out) == (0, "no difference\n")
    assert done.err.endswith("Lab again is up in HERE/again (N s).\n")
    assert (up / "again/lab.yml").read_text() == "# mine\n" + LAB.replace("demo", "again") + "vars: {a: 2}\n"
    assert (up / "again/host_vars/worker1.yml").read_text() == "b: 3\n"
    record = json.loads(labctl("runs", "show", "last", "-C", "again", "--json").out)
    assert record["replay_of"] == ids(labctl)[1]
    assert labctl("up", "-C", "again").out.startswith("Lab again is up (nothing to change, ")


def test_replay_names_what_came_out_different(labctl: Labctl, world: World, up: Path, left: dict[str, Any]) -> None:
    left["client"]["things"]["hdfs"] |= {"file /etc/hadoop/core-site.xml": "22", "user hdfs": "33"}
    left["other"] = {"manifests": {}, "things": {}}
    done = labctl("replay", "last", "--into", "again")
    assert (done.code, done.out) == (
        8,
        "client, hdfs: file /etc/hadoop/core-site.xml differs\nclient, hdfs: user hdfs is new\n"
        f"other: known of this one only\n3 differences from run {ids(labctl)[0]}\n",
    )
    data = json.loads(labctl("replay", "last", "--into", "third", "--json").out)
    assert (data["lab"], data["folder"], len(data["differences"])) == ("third", "HERE/third", 3)


def test_replay_refuses_what_would_not_be_the_same(
    labctl: Labctl, world: World, up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = digest.collection()
    monkeypatch.setattr(digest, "collection", lambda: now | {"roles/hdfs": "other"})
    monkeypatch.setattr(backend, "artifact_state", lambda lab, name: backend.ArtifactState(name, "2.0", ""))
    run = ids(labctl)[0]
    done = labctl("replay", run, "--into", "again")
    assert done == Done(
        3,
        "",
        f"error: run {run} cannot be replayed as it was\n"
        "  collection: roles/hdfs is not what it was\n"
        "  artefact: hadoop was 1.0, the catalogue now has 2.0\n"
        "hint: use the labctl it was made with (0.1.0), or add --allow-different\n",
    )
    assert not (up / "again").exists()
    done = labctl("replay", run, "--into", "again", "--allow-different")
    assert (done.code, done.out.splitlines()[-1]) == (8, f"2 differences from run {run}")


def test_replay_needs_the_inputs_of_the_run(labctl: Labctl, world: World, up: Path) -> None:
    run = ids(labctl)[0]
    for path in (up / ".labctl/secrets/inputs").iterdir():
        path.unlink()
    assert labctl("replay", run, "--into", "again").code == 0, "they are still there as they were"
    (up / "lab.yml").write_text(LAB + "# new\n")
    assert labctl("replay", run, "--into", "third") == Done(
        2,
        "",
        f"error: run {run} cannot be replayed\n  lab.yml: is no longer what it was, and was not kept\n"
        "hint: labctl runs list shows others\n",
    )


@pytest.mark.parametrize(
    ("argv", "err"),
    [
        (["--into", "."], "error: . is there already\nhint: choose another folder with --into\n"),
        (
            ["--provider", "static", "--into", "x"],
            "error: hosts of provider static cannot be made again: they are there once\n"
            "hint: --provider nspawn, for example\n",
        ),
    ],
)
def test_replay_where_it_cannot_be(labctl: Labctl, world: World, up: Path, argv: list[str], err: str) -> None:
    assert labctl("replay", "last", *argv) == Done(2, "", err)
    assert world.calls == []


def test_another_name_and_provider_change_nothing_else() -> None:
    from labctl.lab.replay import renamed

    spec = "provider: {type: nspawn, image: debian-13}\nname: a # x\nhosts: {h: {vars: {name: b}}}\n"
    assert renamed(spec, "c", "nspawn") == spec.replace("name: a # x", "name: c")
    assert yaml.safe_load(renamed(spec, "c", "docker")) == yaml.safe_load(spec) | {"name": "c", "provider": "docker"}
    flow = "{name: a, provider: nspawn, hosts: {h: {}}}\n"
    assert yaml.safe_load(renamed(flow, "c", "nspawn")) == yaml.safe_load(flow) | {"name": "c"}
