# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a workload counts as rolled out, and what is said when it is not."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils import kuberollout
from unit.kubernetes.doubles import KubeDouble, deployment

DONE = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2}


@pytest.mark.parametrize(
    ("status", "missing"),
    [
        (DONE, ""),
        ({**DONE, "observedGeneration": 1}, "no controller has looked at it yet"),
        ({**DONE, "updatedReplicas": 1}, "1 of 2 replicas run the version asked for"),
        ({**DONE, "availableReplicas": 1}, "1 of 2 replicas are ready"),
        ({**DONE, "replicas": 3}, "1 pods of the version before still run"),
        ({}, "0 of 2 replicas run the version asked for"),
    ],
)
def test_deployments(status: dict[str, Any], missing: str) -> None:
    assert kuberollout.unfinished(deployment("a", 2, **status)) == missing


@pytest.mark.parametrize(
    ("strategy", "status", "missing"),
    [
        ({}, (3, 3, 3), ""),
        ({}, (0, 0, 0), ""),
        ({}, (3, 2, 3), "2 of 3 nodes run the version asked for"),
        ({"type": "OnDelete"}, (3, 2, 3), ""),
        ({}, (3, 3, 1), "1 of 3 nodes are ready"),
    ],
)
def test_daemon_sets(strategy: dict[str, Any], status: tuple[int, int, int], missing: str) -> None:
    names = ("desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable")
    item = {**deployment("a", **dict(zip(names, status, strict=True))), "kind": "DaemonSet"}
    item["spec"]["updateStrategy"] = strategy
    assert kuberollout.unfinished(item) == missing


def test_stateful_sets_and_definitions() -> None:
    item = {**deployment("a", 2, **DONE), "kind": "StatefulSet"}
    assert kuberollout.unfinished(item) == ""
    item["status"]["readyReplicas"] = 0
    assert kuberollout.unfinished(item) == "0 of 2 replicas are ready"
    definition: dict[str, Any] = {"kind": "CustomResourceDefinition", "metadata": {"name": "x"}, "status": {}}
    assert kuberollout.unfinished(definition) == "not served yet"
    definition["status"]["conditions"] = [{"type": "Established", "status": "True"}]
    assert kuberollout.unfinished(definition) == ""


def test_a_selector_is_said_as_queries_have_it() -> None:
    item = deployment("a")
    item["spec"]["selector"]["matchExpressions"] = [
        {"key": "tier", "operator": "In", "values": ["x", "y"]},
        {"key": "old", "operator": "DoesNotExist"},
    ]
    assert kuberollout.selector_of(item) == "app=a,tier in (x,y),!old"


def pod(name: str, ready: bool = False, **status: Any) -> dict[str, Any]:
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    return {
        "metadata": {"name": name, "namespace": "demo", "uid": f"uid-{name}"},
        "spec": {"nodeName": "worker1"},
        "status": {**status, "conditions": [condition, *status.get("conditions", [])]},
    }


def event(uid: str, message: str, at: str) -> dict[str, Any]:
    return {"involvedObject": {"uid": uid}, "reason": "Failed", "message": message, "lastTimestamp": at}


def test_at_the_deadline_it_says_why_by_the_pods() -> None:
    api = KubeDouble()
    item = deployment("web", 2, updatedReplicas=2, availableReplicas=1)
    api.objects[api.path_of(item)] = item
    api.lists["/api/v1/namespaces/demo/pods"] = [
        pod("well", ready=True),
        pod(
            "crashed",
            containerStatuses=[
                {
                    "name": "main",
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
                    "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}},
                    "restartCount": 4,
                }
            ],
        ),
        pod("homeless", conditions=[{"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available"}]),
    ]
    api.lists["/api/v1/namespaces/demo/events"] = [
        event("uid-crashed", "older", "2026-01-01T00:00:00Z"),
        event("uid-crashed", "Back-off restarting", "2026-01-01T00:00:01Z"),
        event("uid-other", "of another pod", "2026-01-01T00:00:02Z"),
    ]
    log = "/api/v1/namespaces/demo/pods/crashed/log?container=main&previous=true&tailLines=5"
    api.texts[log] = "cannot bind port 80\n"
    lines = kuberollout.wait(api, [item], 0)  # type: ignore[arg-type]
    text = "\n".join(lines)
    assert lines[0] == "Deployment demo/web: 1 of 2 replicas are ready"
    assert "pod crashed on worker1: container main: CrashLoopBackOff back-off 10s" in text
    assert "exit code 3, 4 restarts" in text
    assert "main said: cannot bind port 80" in text
    assert text.index("Back-off restarting") < text.index("older"), "the latest event first"
    assert "not placed on a node: 0/2 nodes are available" in text
    assert "of another pod" not in text
    assert "well" not in text


def test_without_pods_the_events_of_its_replica_sets_tell() -> None:
    api = KubeDouble()
    item = deployment("web")
    api.objects[api.path_of(item)] = item
    api.lists["/apis/apps/v1/namespaces/demo/replicasets"] = [{"metadata": {"uid": "uid-rs"}}]
    api.lists["/api/v1/namespaces/demo/events"] = [event("uid-rs", "exceeded quota", "")]
    assert "  Failed: exceeded quota" in kuberollout.wait(api, [item], 0)  # type: ignore[arg-type]


def test_what_is_rolled_out_is_not_waited_for() -> None:
    api = KubeDouble()
    item = deployment("web", 2, **DONE)
    api.objects[api.path_of(item)] = item
    assert kuberollout.wait(api, [item, {"kind": "ConfigMap"}], 60) == []  # type: ignore[arg-type]
