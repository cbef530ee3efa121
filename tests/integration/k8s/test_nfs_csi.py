# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role nfs_csi with a real API server: its objects are what the API takes. No pod runs: see docs/tested.md."""

from __future__ import annotations

import json

import pytest
from integration.k8s.conftest import Api

pytestmark = pytest.mark.root

TASKS = """
- name: apply
  ansible.builtin.include_role: {name: labctl.stacks.nfs_csi, tasks_from: PHASE}
  vars: {nfs_csi_server: 192.0.2.7, nfs_csi_share: /volumes, nfs_csi_apply: true, nfs_csi_default_class: true}
"""
APPLIED = "Service | Apply the driver and its StorageClass"


def test_the_api_takes_all_objects_as_they_are(api: Api) -> None:
    # The role is the user that a master has; the fixture has no cluster yet that would know it.
    api.host.ssh("cp /etc/kubernetes/super-admin.conf /etc/kubernetes/admin.conf")
    predicted = api.host.run_playbook(TASKS.replace("PHASE", "service"), "--check")
    first = api.host.run_playbook(TASKS.replace("PHASE", "service"))
    second = api.host.run_playbook(TASKS.replace("PHASE", "service"))
    assert first.rc == 0, first.stdout
    assert (predicted.changed[APPLIED], first.changed[APPLIED], second.changed[APPLIED]) == (True, True, False)

    found = json.loads(api("get storageclass nfs -o json"))
    assert found["parameters"]["server"] == "192.0.2.7"
    assert found["parameters"]["share"] == "/volumes"
    assert found["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true"
    assert "nfs.csi.k8s.io" in api("get csidriver -o name")
    assert api("-n kube-system get deployment,daemonset -o name").split() == [
        "deployment.apps/csi-nfs-controller",
        "daemonset.apps/csi-nfs-node",
    ]


def test_the_controller_may_do_what_it_has_to_and_no_more(api: Api) -> None:
    who = "--as=system:serviceaccount:kube-system:csi-nfs-controller"
    for allowed in ("create persistentvolumes", "update persistentvolumeclaims", "update leases -n kube-system"):
        assert api(f"auth can-i {allowed} {who}").strip() == "yes", allowed
    for denied in ("get secrets -n kube-system", "create pods -n kube-system", "update leases -n default"):
        assert api(f"auth can-i {denied} {who}", check=False).strip() == "no", denied


def test_removing_takes_all_objects_away(api: Api) -> None:
    assert api.host.run_playbook(TASKS.replace("PHASE", "remove")).rc == 0
    assert api("get storageclass,csidriver -o name").strip() == ""
    assert "csi-nfs" not in api("-n kube-system get deployment,daemonset,serviceaccount,role,rolebinding -o name")
    assert "csi-nfs" not in api("get clusterrole,clusterrolebinding -o name")
    assert api.host.manifest("nfs_csi") == {}
