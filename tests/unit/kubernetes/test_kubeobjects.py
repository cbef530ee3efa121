# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What names an object, how two differ, and what of a Secret is shown."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError
from ansible_collections.labctl.stacks.plugins.module_utils.kubeobjects import (
    bare,
    check_objects,
    differences,
    ident_of,
    line_of,
    named,
    owned,
    reference,
    texts,
)
from unit.kubernetes.doubles import config, deployment, namespace, secret


def test_an_object_keeps_its_identity_over_versions_of_its_group() -> None:
    old = {"apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "metadata": {"name": "a", "namespace": "b"}}
    assert ident_of(old) == ident_of({**old, "apiVersion": "policy/v1"})
    assert ident_of(old) != ident_of({**old, "apiVersion": "other/v1"})
    assert str(ident_of(old)) == "PodDisruptionBudget b/a"
    assert str(ident_of(namespace("b"))) == "Namespace b"


def test_a_reference_finds_the_object_again_and_holds_nothing_else() -> None:
    item = secret("a", password="Y2FuYXJ5")
    assert reference(item) == {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "demo"}}


@pytest.mark.parametrize(
    ("items", "told"),
    [
        ({"kind": "x"}, "not a list"),
        ([{}], "entry 1: no apiVersion"),
        ([namespace("a"), {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "x"}}], "entry 2"),
        ([namespace("a"), "text"], "entry 2"),
        ([namespace("a"), namespace("b"), namespace("a")], "entry 3: Namespace a is entry 1 already"),
    ],
)
def test_what_is_no_object_is_refused_by_its_place(items: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        check_objects(items)


def test_every_object_says_who_manages_it_unless_it_says_so_itself() -> None:
    assert owned(namespace("a"))["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "labctl"}
    other = config("a")
    other["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "Helm", "x": "y"}
    assert owned(other) == other
    assert "labels" not in namespace("a")["metadata"], "the object given is left as it is"


def test_what_the_server_writes_is_no_difference() -> None:
    ours = config("a", word="x")
    theirs = copy.deepcopy(ours)
    theirs["metadata"] |= {"uid": "1", "resourceVersion": "7", "generation": 3, "managedFields": [{}], "labels": {}}
    theirs["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "4"}
    theirs["status"] = {"phase": "Active"}
    assert bare(theirs) == bare(ours)
    assert theirs["metadata"]["uid"] == "1", "the object itself is left as it is"


def test_differences_are_named_by_their_paths() -> None:
    before = {"spec": {"replicas": 1, "ports": [{"port": 80}, {"port": 81}], "args": ["a"]}}
    after = {"spec": {"replicas": 2, "ports": [{"port": 80}, {"port": 82}], "args": ["a", "b"], "paused": True}}
    assert list(differences(before, after)) == ["spec.args", "spec.paused", "spec.ports.1.port", "spec.replicas"]
    assert named([str(number) for number in range(8)]) == "0, 1, 2, 3, 4, 5 and 2 more"


def test_a_diff_shows_that_a_secret_differs_and_never_what_it_is() -> None:
    before, after = (
        secret("a", same="Y2FuYXJ5MQ==", other="Y2FuYXJ5Mg=="),
        secret("a", same="Y2FuYXJ5MQ==", other="bmV3"),
    )
    was, now = texts(before, after)
    assert was != now
    assert "Y2Fu" not in was + now
    assert "bmV3" not in now
    assert '"same": "(secret)"' in now
    assert '"other": "(secret, another)"' in now
    assert texts(None, after)[0] == ""
    assert "bmV3" not in texts(None, after)[1]


@pytest.mark.parametrize(
    ("item", "line"),
    [
        (deployment("a"), "Deployment demo/a uid-of-a g2"),
        (
            {**config("a"), "metadata": {"name": "a", "namespace": "demo", "uid": "u", "resourceVersion": "9"}},
            "ConfigMap demo/a u r9",
        ),
        (
            {"kind": "PersistentVolume", "metadata": {"name": "v", "uid": "u", "resourceVersion": "9"}},
            "PersistentVolume v u -",
        ),
        (
            {
                "kind": "ClusterRole",
                "metadata": {"name": "r", "uid": "u", "resourceVersion": "9"},
                "aggregationRule": {"x": 1},
            },
            "ClusterRole r u -",
        ),
    ],
)
def test_a_line_counts_changes_by_what_the_kind_has(item: dict[str, Any], line: str) -> None:
    assert line_of(item) == line
