# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other counts of hosts: what they change in a lab file, and which are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab, load_lab
from labctl.lab.scale import parse, scaling

TEXT = """\
name: demo   # mine
provider: nspawn
hosts:
  master: {groups: [k8s_master]}
  # as many as the machine holds
  worker:
    groups: [k8s_node]
    count: 2   # for now
stacks: [k8s]
"""


def lab(folder: Path, text: str = TEXT) -> Lab:
    (folder / "lab.yml").write_text(text)
    return load_lab(folder / "lab.yml")


def test_only_the_count_changes_in_the_file(tmp_path: Path) -> None:
    assert scaling(lab(tmp_path), {"worker": 11}).text == TEXT.replace("count: 2 ", "count: 11 ")
    flow = TEXT.replace("  worker:\n    groups: [k8s_node]\n    count: 2 ", "  worker: {count: 2, groups: [k8s_node]} ")
    assert "{count: 5, groups: [k8s_node]}" in scaling(lab(tmp_path, flow), {"worker": 5}).text


@pytest.mark.parametrize(
    ("count", "leaving", "coming"),
    [(2, (), ()), (1, ("worker2",), ()), (4, (), ("worker3", "worker4"))],
)
def test_who_leaves_and_who_comes(tmp_path: Path, count: int, leaving: tuple[str], coming: tuple[str]) -> None:
    change = scaling(lab(tmp_path), {"worker": count})
    assert (change.leaving, change.coming) == (leaving, coming)


def test_a_host_that_nothing_would_take_out_cannot_leave(tmp_path: Path) -> None:
    text = TEXT.replace("{groups: [k8s_master]}", "{count: 3, groups: [k8s_master]}")
    with pytest.raises(InputError, match="master2 cannot leave: k8s does not know how to let a host of k8s_master go"):
        scaling(lab(tmp_path, text), {"master": 1})
    assert scaling(lab(tmp_path, text), {"master": 5}).coming == ("master4", "master5")


def test_what_the_lab_would_not_be_valid_with_is_refused(tmp_path: Path) -> None:
    text = TEXT.replace("{groups: [k8s_master]}", "{count: 3, groups: [k8s_master]}")
    with pytest.raises(InputError) as caught:
        scaling(lab(tmp_path, text), {"master": 4})
    assert "group k8s_master takes an odd number of hosts, has 4" in caught.value.report


@pytest.mark.parametrize(
    ("counts", "said"),
    [({"wroker": 2}, "hosts has no wroker"), ({"master": 3}, "hosts.master has no count")],
)
def test_a_name_that_cannot_be_counted_is_refused(tmp_path: Path, counts: dict[str, int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        scaling(lab(tmp_path), counts)


@pytest.mark.parametrize("word", ["worker", "worker=", "=3", "worker=0", "worker=-1", "worker=two", "worker=1.5"])
def test_what_is_no_count_is_refused(word: str) -> None:
    with pytest.raises(InputError, match="is not NAME=COUNT"):
        parse([word])


def test_counts_are_read() -> None:
    assert parse(["worker=3", "master=1"]) == {"worker": 3, "master": 1}
    with pytest.raises(InputError, match="twice"):
        parse(["worker=3", "worker=4"])
