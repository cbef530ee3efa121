# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A double of Kubernetes' API: objects in a dictionary, merged as server-side apply does where one manager owns all."""

from __future__ import annotations

import copy
import urllib.parse
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.kubeapi import KubeError

Object = dict[str, Any]
CLUSTER_WIDE = {"Namespace", "ClusterRole", "CustomResourceDefinition", "StorageClass", "PersistentVolume"}


def merged(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return {key: merged(old.get(key), new[key]) if key in new else old[key] for key in {**old, **new}}
    return copy.deepcopy(new)


class KubeDouble:
    """What kubeapply and kuberollout use of KubeApi. ``lists`` answers queries of :meth:`items` by path."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.lists: dict[str, list[Object]] = {}
        self.texts: dict[str, str] = {}
        self.kinds = {"Namespace", "ConfigMap", "Secret", "Service", "Deployment", "DaemonSet", "ClusterRole"}
        self.kinds.add("CustomResourceDefinition")
        #: Errors that the next calls of apply end in.
        self.errors: list[KubeError] = []
        self.deleted: list[str] = []
        self.version = 100

    def path_of(self, item: Object) -> str:
        if item["kind"] not in self.kinds:
            raise KubeError(f"the API has no {item['kind']} of {item['apiVersion']}", 404, "NoKind")
        space = "" if item["kind"] in CLUSTER_WIDE else f"{item['metadata'].get('namespace') or 'default'}/"
        return f"/{item['kind']}/{space}{item['metadata']['name']}"

    def get(self, path: str) -> Object | None:
        return copy.deepcopy(self.objects.get(path))

    def call(self, method: str, path: str, body: Any = None) -> Any:
        return {} if path == "/version" else self.texts[urllib.parse.unquote(path)]

    def items(self, path: str) -> list[Object]:
        return copy.deepcopy(self.lists.get(path.partition("?")[0], []))

    def delete(self, path: str) -> bool:
        self.deleted.append(path)
        return self.objects.pop(path, None) is not None

    def merge(self, item: Object, *, dry_run: bool = False) -> Object:
        return self.apply(item, dry_run=dry_run)

    def apply(self, item: Object, *, dry_run: bool = False) -> Object:
        if self.errors:
            raise self.errors.pop(0)
        path = self.path_of(item)
        space = item["metadata"].get("namespace")
        if item["kind"] not in CLUSTER_WIDE and space and f"/Namespace/{space}" not in self.objects:
            raise KubeError(f'namespaces "{space}" not found', 404, "NotFound")
        old = self.objects.get(path)
        now: Object = merged(old or {}, item)
        if old != now:
            self.version += 1
            now["metadata"]["resourceVersion"] = str(self.version)
            if "spec" in now:
                now["metadata"]["generation"] = (old or {"metadata": {}})["metadata"].get("generation", 0) + 1
            now["metadata"].setdefault("uid", f"uid-{self.version}")
        if not dry_run:
            self.objects[path] = now
            if item["kind"] == "CustomResourceDefinition":
                self.kinds.add(item["spec"]["names"]["kind"])
        return copy.deepcopy(now)


def namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def config(name: str, space: str = "demo", **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": space}, "data": data}


def secret(name: str, **data: str) -> Object:
    return {**config(name), "kind": "Secret", "data": data}


def deployment(name: str, replicas: int = 1, /, **status: Any) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "demo", "generation": 2, "uid": f"uid-of-{name}"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}},
        "status": {"observedGeneration": 2, **status},
    }
