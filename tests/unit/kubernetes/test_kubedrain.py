# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pods a node loses, in which order, and what keeps it. The API is a double of the few calls made."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils import kubedrain
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError
from ansible_collections.labctl.stacks.plugins.module_utils.kubeapi import KubeError

READY = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
DEAD = {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}


def pod(name: str, owner: str = "ReplicaSet", phase: str = "Running", **annotations: str) -> dict[str, Any]:
    owners = [{"kind": owner}] if owner else []
    meta = {"name": name, "namespace": "a", "ownerReferences": owners, "annotations": annotations}
    return {"metadata": meta, "status": {"phase": phase}}


class ApiDouble:
    """A node with pods; those in ``guarded`` may be evicted on the second attempt only."""

    def __init__(self, node: dict[str, Any] | None, pods: list[dict[str, Any]], guarded: tuple[str, ...] = ()) -> None:
        self.node = node
        self.pods = {one["metadata"]["name"]: one for one in pods}
        self.guarded = set(guarded)
        self.calls: list[str] = []

    def get(self, path: str) -> dict[str, Any] | None:
        return self.node

    def items(self, path: str) -> list[dict[str, Any]]:
        return list(self.pods.values())

    def call(self, method: str, path: str, body: Any = None, **_: Any) -> None:
        self.calls.append(f"{method} {path}")
        if path.endswith("/eviction"):
            name = path.split("/")[-2]
            if name in self.guarded:
                self.guarded.remove(name)
                raise KubeError("the budget", 429)
            del self.pods[name]

    def delete(self, path: str) -> bool:
        self.calls.append(f"DELETE {path}")
        return True


def remove(api: ApiDouble, seconds: float = 5, *, check: bool = False) -> list[str]:
    return kubedrain.remove(api, "w", seconds=seconds, check=check)  # type: ignore[arg-type]


def test_pods_go_before_the_node_and_budgets_are_kept() -> None:
    pods = [pod("web-1"), pod("web-2"), pod("net", "DaemonSet"), pod("done", "Job", "Succeeded")]
    api = ApiDouble(READY, [*pods, pod("static", "Node", **{"kubernetes.io/config.mirror": "x"})], guarded=("web-2",))
    assert remove(api) == ["2 pods moved", "deleted"]
    evicted = [call.split("/")[-2] for call in api.calls if call.endswith("/eviction")]
    assert evicted == ["web-1", "web-2", "web-2"]
    assert api.calls[0] == "PATCH /api/v1/nodes/w"
    assert api.calls[-1] == "DELETE /api/v1/nodes/w"


def test_a_pod_that_nobody_would_start_again_keeps_the_node() -> None:
    api = ApiDouble(READY, [pod("mine", "")])
    with pytest.raises(ConvergeError, match="a/mine"):
        remove(api)
    assert not any(call.startswith("DELETE") for call in api.calls)


def test_pods_that_may_not_go_are_named() -> None:
    with pytest.raises(ConvergeError, match="a/web: the budget"):
        remove(ApiDouble(READY, [pod("web")], guarded=("web",)), 0)


def test_a_dead_node_goes_with_its_pods() -> None:
    api = ApiDouble(DEAD, [pod("web")])
    assert remove(api) == ["deleted"]
    assert api.calls == ["DELETE /api/v1/nodes/w"]


def test_a_node_that_is_not_there_is_no_change() -> None:
    assert remove(ApiDouble(None, [])) == []


def test_check_mode_touches_nothing() -> None:
    api = ApiDouble(READY, [pod("web")])
    assert remove(api, check=True) == ["would be drained", "would be deleted"]
    assert api.calls == []
