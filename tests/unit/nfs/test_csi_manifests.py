# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of csi-driver-nfs as Ansible makes them of the role's variables. Not run: see docs/tested.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles/nfs_csi"


def manifests(**settings: Any) -> dict[tuple[str, str], dict[str, Any]]:
    variables: dict[str, Any] = {"nfs_csi_server": "10.0.0.2", **settings}
    loader = DataLoader()
    loaded = {
        **loader.load_from_file(str(ROLE / "defaults/main.yml"), trusted_as_template=True),
        **loader.load_from_file(str(ROLE / "vars/main.yml"), trusted_as_template=True),
        **variables,
    }
    made = Templar(loader, variables=loaded).template(loaded["__nfs_csi_manifests"])
    return {(item["kind"], item["metadata"]["name"]): item for item in plain(made)}


def plain(value: Any) -> Any:
    """Without Ansible's classes, which carry tags."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    return int(value) if isinstance(value, int) else str(value)


def pods(objects: dict[tuple[str, str], dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        name: item["spec"]["template"]["spec"]
        for (kind, name), item in objects.items()
        if kind in ("Deployment", "DaemonSet")
    }


def test_every_image_is_one_of_ours_that_the_role_brings() -> None:
    variables = yaml.safe_load((ROLE / "vars/main.yml").read_text())
    names = [artifact["name"] for artifact in variables["__nfs_csi_artifacts"]]
    brought = set()
    for name in names:
        entry = yaml.safe_load((ROOT / f"artifacts/{name}.yml").read_text())
        image = entry["versions"][entry["default"]]["sources"][0]["image"]
        brought.add(f"{image['repository']}:{image['tag']}")
    used = {container["image"] for pod in pods(manifests()).values() for container in pod["containers"]}
    assert used == brought
    policies = {c["imagePullPolicy"] for pod in pods(manifests()).values() for c in pod["containers"]}
    assert policies == {"IfNotPresent"}


def test_what_a_container_mounts_its_pod_has() -> None:
    for name, pod in pods(manifests()).items():
        have = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            wanted = {mount["name"] for mount in container["volumeMounts"]}
            assert wanted <= have, (name, container["name"])
            assert "socket" in wanted, (name, container["name"])


def test_only_the_plugin_is_privileged() -> None:
    for pod in pods(manifests()).values():
        privileged = {c["name"] for c in pod["containers"] if c["securityContext"].get("privileged")}
        assert privileged == {"nfs"}
        for container in pod["containers"]:
            assert container["name"] == "nfs" or container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_a_port_is_taken_once_and_asked_where_it_is_served() -> None:
    ports = set()
    for pod in pods(manifests()).values():
        by_name = {container["name"]: container for container in pod["containers"]}
        asked = by_name["nfs"]["livenessProbe"]["httpGet"]
        assert f"--http-endpoint={asked['host']}:{asked['port']}" in by_name["liveness-probe"]["args"]
        ports.add(asked["port"])
    assert len(ports) == 2


def test_selectors_and_accounts_meet() -> None:
    objects = manifests()
    for (kind, _), item in objects.items():
        if kind in ("Deployment", "DaemonSet"):
            assert item["spec"]["selector"]["matchLabels"] == item["spec"]["template"]["metadata"]["labels"]
            assert ("ServiceAccount", item["spec"]["template"]["spec"]["serviceAccountName"]) in objects
        if kind.endswith("Binding"):
            assert (item["roleRef"]["kind"], item["roleRef"]["name"]) in objects
            assert all((one["kind"], one["name"]) in objects for one in item["subjects"])


@pytest.mark.parametrize("default", [True, False])
def test_the_storage_class_is_made_of_settings(default: bool) -> None:
    settings = {
        "nfs_csi_share": "/volumes",
        "nfs_csi_parameters": {"onDelete": "archive"},
        "nfs_csi_default_class": default,
    }
    found = manifests(nfs_csi_reclaim_policy="Retain", **settings)[("StorageClass", "nfs")]
    assert found["parameters"] == {
        "server": "10.0.0.2",
        "share": "/volumes",
        "subDir": "${pvc.metadata.namespace}-${pvc.metadata.name}-${pv.metadata.name}",
        "onDelete": "archive",
    }
    assert found["reclaimPolicy"] == "Retain"
    assert found["provisioner"] == "nfs.csi.k8s.io"
    # Annotations are strings; a boolean would be refused by the API.
    assert found["metadata"]["annotations"] == {"storageclass.kubernetes.io/is-default-class": str(default).lower()}
