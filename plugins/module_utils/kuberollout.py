# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: whether what was applied to Kubernetes is at work, and if not, why not.

Runs on hosts: standard library only, Python 3.8 and newer. What counts as rolled out is what ``kubectl rollout status``
says: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status.
"""

from __future__ import annotations

import time
import urllib.parse
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.kubeapi import KubeApi, KubeError

WORKLOADS = ("Deployment", "DaemonSet", "StatefulSet")
#: Pods that a report tells of, and characters of a message in it.
_PODS, _SHOWN = 4, 400


def waited_for(item: dict[str, Any]) -> bool:
    """Whether there is anything to wait for after it was applied."""
    return item["kind"] in WORKLOADS or item["kind"] == "CustomResourceDefinition"


def unfinished(item: dict[str, Any]) -> str:
    """ "" for what is rolled out as asked for, else what is missing."""
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    if item["kind"] == "CustomResourceDefinition":
        return "" if condition(item, "Established").get("status") == "True" else "not served yet"
    if int(status.get("observedGeneration", 0)) < int(metadata.get("generation", 1)):
        return "no controller has looked at it yet"
    if item["kind"] == "DaemonSet":
        wanted = int(status.get("desiredNumberScheduled", 0))
        updated = int(status.get("updatedNumberScheduled", 0))
        if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
            updated = wanted
        return _counted(wanted, updated, int(status.get("numberAvailable", 0)), "nodes")
    wanted = int(spec.get("replicas", 1))
    updated = int(status.get("updatedReplicas", 0))
    if item["kind"] == "StatefulSet":
        rolling = (spec.get("updateStrategy") or {}).get("rollingUpdate") or {}
        if (spec.get("updateStrategy") or {}).get("type") == "OnDelete" or rolling.get("partition"):
            updated = wanted
        return _counted(wanted, updated, int(status.get("readyReplicas", 0)), "replicas")
    failed = _counted(wanted, updated, int(status.get("availableReplicas", 0)), "replicas")
    old = int(status.get("replicas", 0)) - updated
    return failed or (f"{old} pods of the version before still run" if old > 0 else "")


def _counted(wanted: int, updated: int, available: int, what: str) -> str:
    if updated < wanted:
        return f"{updated} of {wanted} {what} run the version asked for"
    return f"{available} of {wanted} {what} are ready" if available < wanted else ""


def condition(item: dict[str, Any], kind: str) -> dict[str, Any]:
    """A condition of an object's status; {} where it has none of that kind."""
    listed = (item.get("status") or {}).get("conditions") or []
    return next((one for one in listed if one.get("type") == kind), {})


def selector_of(item: dict[str, Any]) -> str:
    """The labels of a workload's pods, as a query has them."""
    selector = (item.get("spec") or {}).get("selector") or {}
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for one in selector.get("matchExpressions") or []:
        values = ",".join(one.get("values") or [])
        words = {"In": f"{one['key']} in ({values})", "NotIn": f"{one['key']} notin ({values})", "Exists": one["key"]}
        parts.append(words.get(one["operator"], f"!{one['key']}"))
    return ",".join(parts)


def wait(api: KubeApi, items: list[dict[str, Any]], seconds: float, pause: float = 0.2) -> list[str]:
    """Wait until all are rolled out; [] or, once the time is over, lines that say what is not, and why.

    KubeError for what only a change can mend. ``seconds`` and ``pause`` in seconds.
    """
    deadline = time.monotonic() + seconds
    waiting = {api.path_of(item): item for item in items if waited_for(item)}
    seen: dict[str, str] = {}
    while waiting:
        for path in list(waiting):
            try:
                now = api.get(path)
            except KubeError as exc:
                if not exc.passing:
                    raise
                seen[path] = str(exc)
                continue
            seen[path] = "it is gone" if now is None else unfinished(now)
            if now is not None:
                waiting[path] = now
            if not seen[path]:
                del waiting[path]
        if waiting and time.monotonic() >= deadline:
            return [line for path, item in waiting.items() for line in _report(api, item, seen[path])]
        if waiting:
            time.sleep(pause)
    return []


def _report(api: KubeApi, item: dict[str, Any], missing: str) -> list[str]:
    metadata = item["metadata"]
    space = metadata.get("namespace", "")
    head = f"{item['kind']} {f'{space}/' if space else ''}{metadata['name']}: {missing}"
    try:
        return [head, *(f"  {line}" for line in reasons(api, item))]
    except KubeError as exc:
        return [head, f"  why cannot be told: {exc}"]


def reasons(api: KubeApi, item: dict[str, Any]) -> list[str]:
    """Why a workload is not rolled out: of its pods what keeps them from being ready, else its own events."""
    space = item["metadata"].get("namespace", "")
    if item["kind"] not in WORKLOADS or not space:
        return [str(one.get("message", "")) for one in (item.get("status") or {}).get("conditions") or []]
    told: list[str] = []
    query = urllib.parse.urlencode({"labelSelector": selector_of(item)})
    pods = [
        pod
        for pod in api.items(f"/api/v1/namespaces/{space}/pods?{query}")
        if condition(pod, "Ready").get("status") != "True" and not pod["metadata"].get("deletionTimestamp")
    ]
    pods.sort(key=lambda pod: str(pod["metadata"].get("creationTimestamp")), reverse=True)
    for pod in pods[:_PODS]:
        told += _of_pod(api, pod)
    if len(pods) > _PODS:
        told.append(f"and {len(pods) - _PODS} more pods")
    if not pods:
        owners = {str(item["metadata"].get("uid", ""))}
        if item["kind"] == "Deployment":
            sets = api.items(f"/apis/apps/v1/namespaces/{space}/replicasets?{query}")
            owners |= {one["metadata"]["uid"] for one in sets}
        told += warnings(api, space, owners)
        told += [
            str(one.get("message"))[:_SHOWN]
            for one in (item.get("status") or {}).get("conditions") or []
            if one.get("type") == "ReplicaFailure"
        ]
    return told or ["it has no pods that say why, and no event tells"]


def trouble_of(pod: dict[str, Any]) -> list[str]:
    """What a pod itself says: not placed, a container that waits, ended, or runs and is not ready."""
    told = []
    placed = condition(pod, "PodScheduled")
    if placed.get("status") == "False":
        told.append(f"not placed on a node: {str(placed.get('message', ''))[:_SHOWN]}")
    status = pod.get("status") or {}
    if status.get("reason"):
        told.append(f"{status['reason']}: {str(status.get('message', ''))[:_SHOWN]}")
    for one in (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or []):
        state, before = one.get("state") or {}, (one.get("lastState") or {}).get("terminated")
        ended = state.get("terminated") or before
        if "waiting" in state:
            waiting = state["waiting"]
            words = f"{waiting.get('reason', 'waiting')} {str(waiting.get('message', ''))[:_SHOWN]}".strip()
            told.append(f"container {one['name']}: {words}")
        elif "running" in state and not one.get("ready"):
            told.append(f"container {one['name']}: runs, and its readiness probe does not pass")
        if ended and ended.get("exitCode"):
            words = (
                f"{ended.get('reason', 'ended')}, exit code {ended['exitCode']}, {one.get('restartCount', 0)} restarts"
            )
            told.append(f"container {one['name']}: {words}")
    return told


def _of_pod(api: KubeApi, pod: dict[str, Any]) -> list[str]:
    metadata = pod["metadata"]
    where = (pod.get("spec") or {}).get("nodeName")
    own = trouble_of(pod)
    told = [f"pod {metadata['name']}{f' on {where}' if where else ''}: {'; '.join(own) or 'not ready'}"]
    told += [f"  {line}" for line in warnings(api, metadata["namespace"], {metadata["uid"]})]
    for one in (pod.get("status") or {}).get("containerStatuses") or []:
        if (one.get("lastState") or {}).get("terminated", {}).get("exitCode"):
            told += [f"  {one['name']} said: {line}" for line in last_words(api, pod, one["name"])]
    return told


def last_words(api: KubeApi, pod: dict[str, Any], container: str) -> list[str]:
    """The last lines of a container that ended."""
    query = urllib.parse.urlencode({"container": container, "previous": "true", "tailLines": 5})
    metadata = pod["metadata"]
    try:
        text = api.call("GET", f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/log?{query}")
    except KubeError:
        return []
    return [line[:_SHOWN] for line in str(text).splitlines()]


def warnings(api: KubeApi, space: str, uids: set[str], most: int = 3) -> list[str]:
    """The latest warnings about objects, by their uids, each message once."""
    events = [
        event
        for event in api.items(f"/api/v1/namespaces/{space}/events?fieldSelector=type%3DWarning")
        if (event.get("involvedObject") or {}).get("uid") in uids
    ]
    events.sort(key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    lines = [
        f"{event.get('reason', '')}: {' '.join(str(event.get('message', '')).split())}"[:_SHOWN] for event in events
    ]
    return list(dict.fromkeys(reversed(lines)))[:most]
