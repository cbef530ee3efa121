# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A converged Kubernetes cluster, seen from its hosts and from its users."""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any

import pytest
from testinfra.host import Host

ETCDCTL = (
    "kubectl -n kube-system exec etcd-master -- etcdctl --cacert /etc/kubernetes/pki/etcd/ca.crt"
    " --cert /etc/kubernetes/pki/etcd/server.crt --key /etc/kubernetes/pki/etcd/server.key"
)


def kubectl(host: Host, words: str) -> Any:
    return json.loads(host.check_output(f"kubectl {words} -o json"))


def test_every_host_is_a_ready_node_of_the_version(master: Host) -> None:
    nodes = kubectl(master, "get nodes")["items"]
    assert {node["metadata"]["name"] for node in nodes} == {"master", "worker1", "worker2"}
    for node in nodes:
        ready = [one["status"] for one in node["status"]["conditions"] if one["type"] == "Ready"]
        assert (ready, node["status"]["nodeInfo"]["kubeletVersion"]) == (["True"], "v1.37.2")


def test_no_pod_of_the_system_was_restarted(master: Host) -> None:
    pods = kubectl(master, "get pods -A")["items"]
    states = {
        pod["metadata"]["name"]: (box["ready"], box["restartCount"])
        for pod in pods
        for box in pod["status"]["containerStatuses"]
    }
    assert len(states) == 4 + 3 + 3 + 2, states
    assert set(states.values()) == {(True, 0)}, states


def test_the_name_servers_pods_are_on_two_hosts(master: Host) -> None:
    pods = kubectl(master, "-n kube-system get pods -l k8s-app=kube-dns")["items"]
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 2


def test_no_image_came_from_anywhere(master: Host) -> None:
    images = {box["image"] for pod in kubectl(master, "get pods -A")["items"] for box in pod["spec"]["containers"]}
    assert images
    assert all(image.startswith("localhost/labctl/") for image in images), images


@pytest.mark.parametrize("unit", ["containerd", "kubelet", "haproxy"])
def test_daemons_run_now_and_at_boot(host: Host, unit: str) -> None:
    assert host.service(unit).is_running
    assert host.service(unit).is_enabled
    assert host.check_output("systemctl --failed --no-legend --plain") == ""


def test_a_secret_is_encrypted_where_it_lies(master: Host) -> None:
    value = secrets.token_hex(16)
    master.check_output(f"kubectl create secret generic canary --from-literal=key={value}")
    try:
        raw = master.check_output(f"{ETCDCTL} get /registry/secrets/default/canary --print-value-only | base64 -w0")
        assert base64.b64decode(raw).startswith(b"k8s:enc:secretbox:v1:lab:")
        assert value.encode() not in base64.b64decode(raw)
        master.check_output("grep -q secrets /var/log/kubernetes/audit.log")
        assert master.run(f"grep -r {value} /var/log/kubernetes").rc == 1
    finally:
        master.check_output("kubectl delete secret canary")


def test_the_api_knows_whom_it_talks_to(worker: Host) -> None:
    assert worker.check_output("curl -sk https://kubernetes-api:7443/readyz") == "ok"
    answer = worker.check_output("curl -sk -o /dev/null -w '%{http_code}' https://kubernetes-api:7443/api/v1/secrets")
    assert answer == "403"


def test_what_is_secret_is_roots_alone(master: Host) -> None:
    for path in ("/etc/kubernetes/admin.conf", "/etc/kubernetes/labctl/encryption.yaml", "/etc/kubernetes/pki/ca.key"):
        assert master.file(path).mode == 0o600
        assert master.file(path).user == "root"


def test_the_door_is_closed_again_in_half_an_hour(master: Host) -> None:
    tokens = kubectl(master, "-n kube-system get secrets --field-selector type=bootstrap.kubernetes.io/token")["items"]
    assert all("expiration" in token["data"] for token in tokens)


def test_ports_without_authentication_are_not_served_to_others(worker: Host) -> None:
    for port in (2379, 2380, 2381, 10248, 10249, 10255, 10257, 10259):
        answer = worker.run(f"curl -s -m 3 http://master:{port}/metrics")
        assert answer.rc != 0, f"port {port} answers: {answer.stdout[:200]}"


def test_a_stranger_cannot_run_anything_through_kubelet(master: Host, worker: Host) -> None:
    address = worker.check_output("hostname -I").split()[0]
    assert master.check_output(f"curl -sk -o /dev/null -w '%{{http_code}}' https://{address}:10250/pods") == "401"


def test_what_a_container_lacks_is_told_and_no_more_is_set(master: Host) -> None:
    config = kubectl(master, "-n kube-system get configmap kubelet-config")["data"]["kubelet"]
    cgroups = master.file("/sys/fs/cgroup/cgroup.controllers").exists
    assert ("failCgroupV1: false" in config) == (not cgroups)
    assert "KubeletInUserNamespace: true" in config, "an nspawn host is a container"
