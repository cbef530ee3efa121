# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three masters: one cluster, which serves and takes writes whichever of them is lost."""

from __future__ import annotations

import json
import time

from testinfra.host import Host

ETCDCTL = (
    "kubectl -n kube-system exec etcd-{name} -- etcdctl --cacert /etc/kubernetes/pki/etcd/ca.crt"
    " --cert /etc/kubernetes/pki/etcd/server.crt --key /etc/kubernetes/pki/etcd/server.key {words}"
)
KILL = "; ".join(f"pkill -KILL -x {name}" for name in ("etcd", "kube-apiserver", "kube-controller", "kube-scheduler"))


def test_all_masters_are_of_one_cluster(master: Host) -> None:
    nodes = json.loads(master.check_output("kubectl get nodes -o json"))["items"]
    assert {node["metadata"]["name"] for node in nodes} == {"master1", "master2", "master3", "worker"}
    name = master.check_output("hostname")
    members = json.loads(master.check_output(ETCDCTL.format(name=name, words="member list -w json")))["members"]
    assert {member["name"] for member in members} == {"master1", "master2", "master3"}
    assert not any(member.get("isLearner") for member in members)


def test_every_host_reaches_the_api_through_a_balancer_of_its_own(host: Host) -> None:
    assert host.check_output("curl -sk https://kubernetes-api:7443/readyz") == "ok"
    assert host.check_output("getent hosts kubernetes-api").split()[0] == "127.0.0.1"


def test_whichever_master_is_lost_the_cluster_takes_writes(master: Host, other: Host, worker: Host) -> None:
    """All daemons of a master are killed at once, and kept from coming back, as on a host that is gone."""
    name = master.check_output("hostname")
    master.check_output(f"systemctl stop kubelet containerd; {KILL}; true")
    try:
        assert master.run("curl -sk -m 2 https://127.0.0.1:6443/readyz").rc != 0, "the master still serves"
        deadline, wrote = time.monotonic() + 30, False
        while not wrote and time.monotonic() < deadline:
            written = other.run(
                f"kubectl --server https://kubernetes-api:7443 --request-timeout=5s create configmap lost-{name}"
            )
            wrote = written.rc == 0 or "already exists" in written.stderr
        assert wrote, written.stderr
        assert worker.check_output("curl -sk -m 5 https://kubernetes-api:7443/readyz") == "ok"
    finally:
        master.check_output("systemctl start containerd kubelet")
    deadline = time.monotonic() + 120
    while master.run("curl -sfk -m 2 https://127.0.0.1:6443/readyz").rc != 0 and time.monotonic() < deadline:
        time.sleep(0.5)
    # What was written while it was away, this master has too.
    found = master.check_output(f"kubectl --server https://127.0.0.1:6443 get configmap lost-{name} -o name")
    assert found == f"configmap/lost-{name}"
    master.check_output(f"kubectl delete configmap lost-{name}")
