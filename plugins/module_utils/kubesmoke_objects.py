# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the objects that a check of Kubernetes applies, and what it reads off nodes and pods.

Pure functions. Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils import kuberollout

#: What marks namespaces of checks, so that the next one takes away what a killed one left.
MARK = {"app.kubernetes.io/managed-by": "labctl-smoke"}
PORT = 8080


def namespace(name: str) -> dict[str, Any]:
    """A namespace of the check."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": MARK}}


def pod_of(image: str, app: str, environment: dict[str, str], volume: str = "") -> dict[str, Any]:
    """A pod of labweb that has no right it does not need; ``volume`` is the claim that its files lie on."""
    container: dict[str, Any] = {
        "name": "web",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": name, "value": value} for name, value in sorted(environment.items())],
        "ports": [{"containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": PORT}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65534, "runAsGroup": 65534, "fsGroup": 65534},
        "containers": [container],
    }
    if volume:
        container["volumeMounts"] = [{"name": "files", "mountPath": "/files"}]
        spec["volumes"] = [{"name": "files", "persistentVolumeClaim": {"claimName": volume}}]
    return {"metadata": {"labels": {"app": app}}, "spec": spec}


def deployment(space: str, image: str, version: str, replicas: int) -> dict[str, Any]:
    """Replicas of one version spread over the nodes, replaced one by one, none taken away before another is ready."""
    environment = {"LABWEB_NAME": "web", "LABWEB_VERSION": version, "LABWEB_FETCH": "true", "LABWEB_DRAIN": "5s"}
    template = pod_of(image, "web", environment)
    template["spec"]["topologySpreadConstraints"] = [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "DoNotSchedule",
            "nodeTaintsPolicy": "Honor",
            "labelSelector": {"matchLabels": {"app": "web"}},
            # Each version is spread by itself; otherwise the first new pod would have no place on two nodes.
            "matchLabelKeys": ["pod-template-hash"],
        }
    ]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": space},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": template,
        },
    }


def service(space: str) -> dict[str, Any]:
    """The pods under one address inside, and one port of every node outside."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": space},
        "spec": {
            "type": "NodePort",
            "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "targetPort": PORT}],
        },
    }


def claim(space: str, storage_class: str) -> dict[str, Any]:
    """A volume that several nodes may write to."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "files", "namespace": space},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": "16Mi"}},
        },
    }


def storing(space: str, image: str, name: str) -> dict[str, Any]:
    """A Deployment of one pod with the volume, on another node than those with the volume that are there already."""
    template = pod_of(image, name, {"LABWEB_NAME": name, "LABWEB_FILES": "/files"}, "files")
    template["metadata"]["labels"]["stores"] = "files"
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"stores": "files"}}}
    template["spec"]["affinity"] = {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]
        }
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": space},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


def is_ready(item: dict[str, Any]) -> bool:
    """Whether a node or a pod says it is ready, and is not on its way out."""
    condition = kuberollout.condition(item, "Ready")
    return condition.get("status") == "True" and not item["metadata"].get("deletionTimestamp")


def schedulable(node: dict[str, Any]) -> bool:
    """Whether a pod without tolerations may be placed on a node."""
    spec = node.get("spec") or {}
    taints = [one for one in spec.get("taints") or [] if one.get("effect") in ("NoSchedule", "NoExecute")]
    return not spec.get("unschedulable") and not taints


def address_of(node: dict[str, Any]) -> str:
    """A node's own address."""
    listed = (node.get("status") or {}).get("addresses") or []
    return next((str(one["address"]) for one in listed if one.get("type") == "InternalIP"), "")
