# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the proof that a Kubernetes cluster does what its users expect; see k8s_smoke.

Runs on hosts: standard library only, Python 3.8 and newer. Everything lies in a namespace of its own. Pods run labweb,
and are asked through the API server's proxy what they see of the pods' network.
"""

from __future__ import annotations

import http.client
import time
import urllib.parse
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils import kuberollout
from ansible_collections.labctl.stacks.plugins.module_utils.bulk import command
from ansible_collections.labctl.stacks.plugins.module_utils.errors import CheckError
from ansible_collections.labctl.stacks.plugins.module_utils.kubeapi import KubeApi, KubeError, wait
from ansible_collections.labctl.stacks.plugins.module_utils.kubesmoke_objects import (
    MARK,
    PORT,
    address_of,
    claim,
    deployment,
    is_ready,
    namespace,
    schedulable,
    service,
    storing,
)
from ansible_collections.labctl.stacks.plugins.module_utils.steadyload import Load, get

_SHOWN = 5


class Smoke:
    """One check of a cluster. ``report`` has a line for each thing proven, ``timeline`` the seconds of each step."""

    def __init__(
        self, api: KubeApi, *, kubectl: list[str], image: str, nodes: list[str], storage_class: str, timeout: float
    ) -> None:
        self.api = api
        self.kubectl = kubectl
        self.image = image
        self.wanted = nodes
        self.storage_class = storage_class
        self.timeout = timeout
        self.space = f"labctl-smoke-{uuid.uuid4().hex[:8]}"
        self.report: list[str] = []
        self.timeline: dict[str, float] = {}
        self.workers: list[dict[str, Any]] = []
        self.pods: list[dict[str, Any]] = []
        self.port = 0
        self.cluster_ip = ""

    def run(self) -> None:
        """All steps, and in any case the clean-up. CheckError says what does not work."""
        try:
            self._timed("nodes", self.see_nodes)
            self._timed("deploy", self.deploy)
            self._timed("pods", self.see_pods_network)
            self._timed("service", self.see_service)
            self._timed("nodeport", self.see_node_port)
            self._timed("logs", self.see_logs)
            self._timed("exec", self.see_exec)
            self._timed("update", self.update_under_load)
            self._timed("volume", self.see_volume)
        except BaseException as exc:
            try:
                self.clean_up()
            except (KubeError, CheckError) as left:
                raise CheckError(f"{exc}\nand {left}", hint=getattr(exc, "hint", "")) from exc
            raise
        self._timed("clean up", self.clean_up)
        self.report.append("cleaned up: nothing of the check is left in the cluster")

    def _timed(self, name: str, step: Callable[[], None]) -> None:
        begun = time.monotonic()
        try:
            step()
        except KubeError as exc:
            raise CheckError(f"{name}: {exc}", hint="see whether the API server and the nodes are well") from exc
        self.timeline[name] = round(time.monotonic() - begun, 2)

    def see_nodes(self) -> None:
        """Every node that was asked for is there, and all are ready."""

        def look() -> str:
            nodes = self.api.items("/api/v1/nodes")
            names = {node["metadata"]["name"] for node in nodes}
            missing = sorted(set(self.wanted) - names)
            not_ready = sorted(node["metadata"]["name"] for node in nodes if not is_ready(node))
            self.workers = [node for node in nodes if schedulable(node)]
            if missing:
                return f"not in the cluster: {', '.join(missing)}"
            return f"not ready: {', '.join(not_ready)}" if not_ready else ""

        if wrong := wait(look, min(self.timeout, 60)):
            raise CheckError(f"nodes are {wrong}", hint="see the journal of kubelet there")
        if not self.workers:
            raise CheckError("no node takes pods: all are cordoned or tainted", hint="add a node, or take a taint away")
        dns = self.api.get("/apis/apps/v1/namespaces/kube-system/deployments/coredns")
        if dns and (lines := kuberollout.wait(self.api, [dns], self.timeout)):
            raise CheckError("\n".join(["the cluster's name server is not ready", *lines]))
        names = [node["metadata"]["name"] for node in self.api.items("/api/v1/nodes")]
        self.report.append(f"nodes: {', '.join(sorted(names))} ready")

    def deploy(self) -> None:
        """Two replicas, on two nodes where there are two."""
        self._remove_older()
        self.api.apply(namespace(self.space))
        self.api.apply(service(self.space))
        self._roll_out([deployment(self.space, self.image, "1", 2)])
        found = self.api.get(f"/api/v1/namespaces/{self.space}/services/web")["spec"]
        self.port, self.cluster_ip = int(found["ports"][0]["nodePort"]), str(found["clusterIP"])
        self._read_pods()
        nodes = sorted({pod["spec"]["nodeName"] for pod in self.pods})
        if len(nodes) < min(2, len(self.workers)):
            raise CheckError(f"both replicas were placed on {nodes[0]}, though there are {len(self.workers)} nodes")
        self.report.append(f"Deployment: {len(self.pods)} replicas ready on {', '.join(nodes)}")

    def _roll_out(self, items: list[dict[str, Any]]) -> None:
        for item in items:
            self.api.apply(item)
        if wrong := kuberollout.wait(self.api, items, self.timeout):
            raise CheckError("\n".join([f"not rolled out after {self.timeout:.0f} s", *wrong]))

    def _read_pods(self) -> None:
        listed = self.api.items(f"/api/v1/namespaces/{self.space}/pods?labelSelector=app%3Dweb")
        self.pods = sorted(filter(is_ready, listed), key=lambda pod: str(pod["metadata"]["name"]))

    def _proxied(self, pod: dict[str, Any], path: str, method: str = "GET", body: Any = None) -> str:
        """What a pod answers to the API server."""
        name = pod["metadata"]["name"]
        where = f"/api/v1/namespaces/{self.space}/pods/{name}:{PORT}/proxy{path}"
        return str(self.api.call(method, where, body)).strip()

    def _fetched(self, pod: dict[str, Any], url: str) -> str:
        """What a pod sees at a URL."""
        return self._proxied(pod, f"/fetch?{urllib.parse.urlencode({'url': url})}")

    def _until(self, what: str, step: Callable[[], str], seconds: float = 20) -> None:
        def look() -> str:
            try:
                return step()
            except KubeError as exc:
                return str(exc)
            except (OSError, http.client.HTTPException) as exc:
                return str(exc) or type(exc).__name__

        if wrong := wait(look, min(seconds, self.timeout)):
            raise CheckError(f"{what}: {wrong}")

    def see_pods_network(self) -> None:
        """Each pod reaches the other by its address."""
        pairs = [(one, other) for one in self.pods for other in self.pods if one is not other]
        for one, other in pairs:
            url = f"http://{other['status']['podIP']}:{PORT}/hostname"
            self._until(
                f"a pod on {one['spec']['nodeName']} does not reach one on {other['spec']['nodeName']} ({url})",
                lambda one=one, other=other, url=url: _equal(  # type: ignore[misc]
                    self._fetched(one, url), other["metadata"]["name"]
                ),
            )
        self.report.append("pod to pod: each reached the other by its address")

    def see_service(self) -> None:
        """A pod reaches both by the Service's address, and the Service by its names."""
        names = {pod["metadata"]["name"] for pod in self.pods}
        seen: set[str] = set()

        def balanced() -> str:
            for _ in range(10):
                seen.add(self._fetched(self.pods[0], f"http://{self.cluster_ip}/hostname"))
            return "" if names <= seen else f"only {', '.join(sorted(seen & names)) or 'no pod'} answered"

        self._until(f"the Service's address {self.cluster_ip}, asked from a pod", balanced)
        for name in ("web", f"web.{self.space}.svc"):
            self._until(
                f"the Service's name {name}, asked from a pod",
                lambda name=name: (  # type: ignore[misc]
                    "" if self._fetched(self.pods[-1], f"http://{name}/hostname") in names else "another answered"
                ),
            )
        self.report.append(f"Service: both replicas answered by {self.cluster_ip}, and by the DNS name web")

    def _addresses(self) -> list[str]:
        found = [address_of(node) for node in self.workers]
        return [address for address in found if address]

    def see_node_port(self) -> None:
        """Every node that runs pods answers on the Service's port, from outside of pods."""
        names = {pod["metadata"]["name"] for pod in self.pods}
        for address in self._addresses():
            self._until(
                f"port {self.port} of {address}, asked from outside",
                lambda address=address: (  # type: ignore[misc]
                    "" if get(address, self.port, "/hostname") in names else "another answered"
                ),
            )
        self.report.append(f"NodePort: {', '.join(self._addresses())} answered on port {self.port}")

    def see_logs(self) -> None:
        """A pod's log, by the API, has a request that was just made."""
        pod, token = self.pods[0], uuid.uuid4().hex
        self._proxied(pod, f"/hostname?token={token}")
        path = f"/api/v1/namespaces/{self.space}/pods/{pod['metadata']['name']}/log"
        self._until("the log of a pod", lambda: "" if token in str(self.api.call("GET", path)) else "lacks a request")
        self.report.append("logs: a request was read back from its pod's log")

    def see_exec(self) -> None:
        """A program runs in a pod and its output comes back."""
        name = self.pods[-1]["metadata"]["name"]
        url = f"http://127.0.0.1:{PORT}/hostname"
        argv = [*self.kubectl, "--namespace", self.space, "exec", name, "--", "/labweb", "get", url]
        said = command(argv, timeout=60, what="kubectl exec").strip()
        if said != name:
            raise CheckError(f"kubectl exec in pod {name} said {said!r} instead of its name")
        self.report.append("exec: a program ran in a pod and said its name")

    def update_under_load(self) -> None:
        """A rolling update, with requests all the time by the NodePort of two nodes, of which none fails."""
        addresses = self._addresses()[:2]
        load = Load(addresses, self.port)
        load.start()
        try:
            time.sleep(1)
            self._roll_out([deployment(self.space, self.image, "2", 2)])
            # Pods of the version before still drain.
            self._until("pods of the version before", self._old_left, 60)
            time.sleep(1)
        finally:
            load.stop()
        if load.failures:
            raise CheckError(
                f"rolling update: {len(load.failures)} of {len(load.answers) + len(load.failures)} requests failed: "
                + "; ".join(load.failures[:_SHOWN])
            )
        if set(load.answers) != {"1", "2"} or set(load.answers[-10:]) != {"2"}:
            raise CheckError(f"rolling update: the versions that answered are {sorted(set(load.answers))}, at last 2")
        self._read_pods()
        self.report.append(
            f"rolling update: {len(load.answers)} requests by {', '.join(addresses)} meanwhile, none failed"
        )

    def _old_left(self) -> str:
        listed = self.api.items(f"/api/v1/namespaces/{self.space}/pods?labelSelector=app%3Dweb")
        leaving = [pod["metadata"]["name"] for pod in listed if pod["metadata"].get("deletionTimestamp")]
        return f"{', '.join(leaving)} not gone" if leaving else ""

    def see_volume(self) -> None:
        """What one pod writes to a PersistentVolume, another reads; where there is a class of storage for it."""
        storage = self.storage_class or self._default_class()
        if not storage:
            self.report.append("PersistentVolume: not tried, the cluster has no default StorageClass")
            return
        self.api.apply(claim(self.space, storage))
        pods = []
        for name in ("writer", "reader"):
            self._roll_out([storing(self.space, self.image, name)])
            (pod,) = filter(
                is_ready, self.api.items(f"/api/v1/namespaces/{self.space}/pods?labelSelector=app%3D{name}")
            )
            pods.append(pod)
        token = uuid.uuid4().hex
        self._proxied(pods[0], "/files/proof", "PUT", token)
        self._until("a file read in another pod", lambda: _equal(self._proxied(pods[1], "/files/proof"), token))
        nodes = [pod["spec"]["nodeName"] for pod in pods]
        self.report.append(f"PersistentVolume: of {storage}, written on {nodes[0]} and read on {nodes[1]}")

    def _default_class(self) -> str:
        for one in self.api.items("/apis/storage.k8s.io/v1/storageclasses"):
            annotations = one["metadata"].get("annotations") or {}
            if annotations.get("storageclass.kubernetes.io/is-default-class") == "true":
                return str(one["metadata"]["name"])
        return ""

    def _remove_older(self) -> None:
        """What a check that was killed has left."""
        mark = urllib.parse.urlencode({"labelSelector": ",".join(f"{key}={value}" for key, value in MARK.items())})
        for one in self.api.items(f"/api/v1/namespaces?{mark}"):
            self.api.delete(f"/api/v1/namespaces/{one['metadata']['name']}")

    def _delete_now(self, path: str) -> None:
        """Delete all objects of a list, whose pods end within a second."""
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 1}
        with suppress(KubeError):
            self.api.call("DELETE", path, options | {"propagationPolicy": "Background"})

    def clean_up(self) -> None:
        """Remove all of it and wait until it is gone. CheckError names what stays."""
        # Of pods that may take half a minute, the controller of namespaces waits a quarter before it looks again.
        self._delete_now(f"/apis/apps/v1/namespaces/{self.space}/deployments")
        self._delete_now(f"/api/v1/namespaces/{self.space}/pods")
        self.api.delete(f"/api/v1/namespaces/{self.space}")

        def left() -> str:
            space = self.api.get(f"/api/v1/namespaces/{self.space}")
            if space is not None:
                told = kuberollout.condition(space, "NamespaceContentRemaining").get("message", "")
                return f"namespace {self.space} is still being deleted {told}".strip()
            volumes = self.api.items("/api/v1/persistentvolumes")
            names = [
                one["metadata"]["name"]
                for one in volumes
                if ((one.get("spec") or {}).get("claimRef") or {}).get("namespace") == self.space
            ]
            return f"volumes are still being deleted: {', '.join(names)}" if names else ""

        if wrong := wait(left, max(self.timeout, 90)):
            raise CheckError(wrong)


def _equal(seen: str, wanted: str) -> str:
    return "" if seen == wanted else f"{seen[:200]!r} answered instead of {wanted!r}"
