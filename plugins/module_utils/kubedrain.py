# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: taking a node out of a Kubernetes cluster without breaking what runs on it.

Runs on hosts: standard library only, Python 3.8 and newer. Source:
https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError
from ansible_collections.labctl.stacks.plugins.module_utils.kubeadm import is_ready, node
from ansible_collections.labctl.stacks.plugins.module_utils.kubeapi import MERGE, KubeApi, KubeError, wait


def movable(pod: dict[str, Any]) -> bool:
    """Whether a pod is to be evicted: not one of a DaemonSet, not a static one, not one that has ended."""
    owners = pod["metadata"].get("ownerReferences", [])
    static = "kubernetes.io/config.mirror" in pod["metadata"].get("annotations", {})
    ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return not static and not ended and not any(owner.get("kind") == "DaemonSet" for owner in owners)


def orphans(pods: list[dict[str, Any]]) -> list[str]:
    """Pods that nobody would start again elsewhere."""
    return [name_of(pod) for pod in pods if movable(pod) and not pod["metadata"].get("ownerReferences")]


def name_of(pod: dict[str, Any]) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def remove(api: KubeApi, name: str, *, seconds: float, check: bool) -> list[str]:
    """Cordon, drain and delete a node; what was done, in words, and nothing where there is no such node.

    Eviction keeps to PodDisruptionBudgets, so it may have to be tried again until others are up. Pods of a node that
    does not answer are deleted with it. ConvergeError naming the pods that would not go within ``seconds``, or that
    nobody would start again.
    """
    found = node(api, name)
    if not found:
        return []
    if check:
        return ["would be drained", "would be deleted"]
    done = []
    if is_ready(found):
        api.call("PATCH", f"/api/v1/nodes/{name}", {"spec": {"unschedulable": True}}, content=MERGE)
        listed = f"/api/v1/pods?fieldSelector=spec.nodeName%3D{name}"
        if lonely := orphans(api.items(listed)):
            raise ConvergeError(
                f"nobody would start these pods of {name} again elsewhere: {', '.join(lonely)}",
                hint="delete them, or let a Deployment have them; the node takes no new pods meanwhile",
            )
        moved: set[str] = set()
        if wrong := wait(lambda: _evict(api, listed, moved), seconds, pause=0.5):
            raise ConvergeError(
                f"node {name} is not empty after {seconds:.0f} s: {wrong}",
                hint="see why its pods cannot run elsewhere, or may not be evicted; the same command goes on",
            )
        done.append(f"{len(moved)} pods moved")
    api.delete(f"/api/v1/nodes/{name}")
    return [*done, "deleted"]


def _evict(api: KubeApi, listed: str, moved: set[str]) -> str:
    """Ask every pod to go that has not been asked; what is still there."""
    left = [pod for pod in api.items(listed) if movable(pod)]
    said = {}
    for pod in left:
        name = name_of(pod)
        if name in moved:
            said[name] = "is ending"
            continue
        space, _, short = name.partition("/")
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": short, "namespace": space},
        }
        try:
            api.call("POST", f"/api/v1/namespaces/{space}/pods/{short}/eviction", eviction)
            moved.add(name)
            said[name] = "is ending"
        except KubeError as exc:
            if exc.status not in (404, 429):
                raise
            said[name] = str(exc)
    return "; ".join(f"{name}: {why}" for name, why in sorted(said.items())[:3])
