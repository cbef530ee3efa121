# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of the check of Kubernetes that need no cluster."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import CheckError
from ansible_collections.labctl.stacks.plugins.module_utils.kubesmoke import Smoke
from ansible_collections.labctl.stacks.plugins.module_utils.kubesmoke_objects import (
    address_of,
    deployment,
    schedulable,
    storing,
)
from ansible_collections.labctl.stacks.plugins.module_utils.steadyload import Load


def node(name: str, ready: str = "True", **spec: Any) -> dict[str, Any]:
    status = {
        "conditions": [{"type": "Ready", "status": ready}],
        "addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": f"10.0.0.{len(name)}"}],
    }
    return {"metadata": {"name": name}, "spec": spec, "status": status}


def test_pods_go_where_no_taint_and_no_cordon_is() -> None:
    assert schedulable(node("a"))
    assert schedulable(node("a", taints=[{"key": "x", "effect": "PreferNoSchedule"}]))
    assert not schedulable(node("a", taints=[{"key": "x", "effect": "NoSchedule"}]))
    assert not schedulable(node("a", unschedulable=True))
    assert address_of(node("abc")) == "10.0.0.3"


def test_a_replica_is_never_taken_away_before_the_next_is_ready() -> None:
    spec = deployment("space", "image", "1", 2)["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    drain = next(
        one["value"] for one in spec["template"]["spec"]["containers"][0]["env"] if one["name"] == "LABWEB_DRAIN"
    )
    assert int(drain.rstrip("s")) + 10 < spec["template"]["spec"]["terminationGracePeriodSeconds"]


def test_reader_and_writer_prefer_different_nodes() -> None:
    writer, reader = (storing("space", "image", name)["spec"]["template"] for name in ("writer", "reader"))
    (term,) = reader["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    wanted = term["podAffinityTerm"]["labelSelector"]["matchLabels"]
    assert wanted.items() <= writer["metadata"]["labels"].items()


def test_load_counts_answers_and_failures() -> None:
    def ask(address: str, port: int, path: str) -> str:
        if address == "bad":
            raise ConnectionResetError("reset by peer")
        return f"{port}{path}"

    load = Load(["good", "bad"], 80, ask=ask)
    load.start()
    while not (load.answers and load.failures):
        time.sleep(0.01)
    load.stop()
    assert set(load.answers) == {"80/version"}
    assert "by bad: reset by peer" in load.failures[0]


class Nodes:
    """A double of the API that has only nodes."""

    def __init__(self, *nodes: dict[str, Any]) -> None:
        self.nodes = list(nodes)
        self.deleted: list[str] = []

    def items(self, path: str) -> list[dict[str, Any]]:
        return self.nodes if path == "/api/v1/nodes" else []

    def call(self, method: str, path: str, body: Any) -> None:
        assert method == "DELETE"

    def delete(self, path: str) -> bool:
        self.deleted.append(path)
        return True

    def get(self, path: str) -> None:
        return None


def smoke(api: Nodes, *wanted: str) -> Smoke:
    return Smoke(
        api,  # type: ignore[arg-type]
        kubectl=["kubectl"],
        image="image",
        nodes=list(wanted),
        storage_class="",
        timeout=0,
    )


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ([node("a")], "not in the cluster: b"),
        ([node("a"), node("b", ready="Unknown")], "not ready: b"),
        ([node("a", unschedulable=True), node("b", taints=[{"effect": "NoSchedule"}])], "no node takes pods"),
    ],
)
def test_nodes_that_are_missing_or_not_ready_are_named_and_it_cleans_up(nodes: list[dict[str, Any]], told: str) -> None:
    api = Nodes(*nodes)
    check = smoke(api, "a", "b")
    with pytest.raises(CheckError, match=told):
        check.run()
    assert api.deleted == [f"/api/v1/namespaces/{check.space}"]


def test_without_a_class_of_storage_the_volume_is_not_tried_and_that_is_said() -> None:
    check = smoke(Nodes())
    check.see_volume()
    assert "not tried" in check.report[0]
