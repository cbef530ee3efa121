# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab that was up is not validated again for the same bytes; anything else takes the long way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils import lab as model
from ansible_collections.labctl.stacks.plugins.module_utils import labmemory
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab, load_lab

LAB = """\
name: demo
provider: {type: nspawn, subnet: 10.87.3.0/24}
hosts:
  head: {groups: [hdfs_namenode, yarn_resourcemanager, mapred_historyserver], memory: 2GiB, cpus: 1.5}
  worker: {count: 2, groups: [hdfs_datanode, yarn_nodemanager], vars: {a: [1, 2.5, "x", null, {b: true}]}}
stacks: [hadoop]
vars: {hdfs_replication: 2}
lease: 4h
"""


class Place:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.spec = folder / "lab.yml"
        self.spec.write_text(LAB)
        self.kept = folder / ".labctl/secrets/inputs/lab.json"
        self.long_ways = 0
        validated = model._validated

        def counting(*args: object) -> object:
            self.long_ways += 1
            return validated(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(model, "_validated", counting)

    def load(self) -> Lab:
        return load_lab(self.spec)

    def ways(self) -> int:
        """Load, and how often that took the long way."""
        before = self.long_ways
        self.load()
        return self.long_ways - before


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


@pytest.fixture
def up(place: Place) -> Place:
    """A lab that was up, with its outcome kept."""
    place.kept.parent.mkdir(parents=True)
    assert place.ways() == 1
    return place


def test_the_same_bytes_come_to_the_same_lab_without_being_validated(up: Place) -> None:
    first, ways = up.load(), up.long_ways
    up.kept.unlink()
    assert up.load() == first
    assert up.long_ways == ways + 1, "the first of the two came from memory"
    assert {type(host.groups) for host in first.hosts} == {tuple}


def test_a_lab_that_was_never_up_leaves_nothing(place: Place) -> None:
    place.load()
    assert not (place.spec.parent / ".labctl").exists()
    assert place.ways() == 1


def test_other_bytes_are_validated_and_faults_found(up: Place) -> None:
    up.spec.write_text(LAB.replace("count: 2", "count: 3"))
    assert len(up.load().hosts) == 4
    up.spec.write_text(LAB.replace("hosts:", "hsots:"))
    with pytest.raises(InputError, match="not a valid lab file"):
        up.load()
    with pytest.raises(InputError, match="not a valid lab file"):
        up.load()
    up.spec.unlink()
    with pytest.raises(InputError, match="there is no file"):
        up.load()


def test_other_code_validates_again(up: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labmemory, "_CODE", ("lab.py",))
    assert up.ways() == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 1}', "null"])
def test_what_makes_no_sense_is_written_anew(up: Place, text: str) -> None:
    up.kept.write_text(text)
    assert up.ways() == 1
    assert up.ways() == 0


@pytest.mark.parametrize("lab", [{}, {"name": "demo"}, {"hosts": 1}, [], None, {"hosts": [{"nmae": "x"}]}])
def test_an_outcome_that_is_none_is_validated_again(up: Place, lab: object) -> None:
    up.kept.write_text(json.dumps({"key": labmemory.key_of(up.spec), "lab": lab}))
    assert up.ways() == 1
    assert up.load().name == "demo"


def test_it_is_its_owners_alone(up: Place) -> None:
    assert up.kept.stat().st_mode & 0o777 == 0o600
    up.kept.chmod(0o620)
    assert up.ways() == 1, "somebody else could have written it"
    assert up.kept.stat().st_mode & 0o777 == 0o600


def test_a_link_in_its_place_is_not_followed(up: Place, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    up.kept.rename(elsewhere)
    up.kept.symlink_to(elsewhere)
    assert up.ways() == 1
    assert not up.kept.is_symlink()


def test_a_lab_folder_that_is_a_link_is_still_refused(up: Place, tmp_path: Path) -> None:
    (tmp_path / ".labctl").rename(tmp_path / "moved")
    (tmp_path / ".labctl").symlink_to(tmp_path / "moved")
    with pytest.raises(InputError) as caught:
        up.load()
    assert "is a link" in str(caught.value.findings)
