# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubernetes' own API server, with etcd and the controllers, on a real host; no node, so that no pod ever runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import catalogue
from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Store
from integration.one_host import OneHost

START = """
set -e
cd /
address=$(hostname -I | cut -d' ' -f1)
options="--apiserver-advertise-address=$address --kubernetes-version=v1.37.2"
KUBERNETES/kubeadm init phase certs all $options >/dev/null 2>&1
KUBERNETES/kubeadm init phase kubeconfig all $options >/dev/null 2>&1
pki=/etc/kubernetes/pki
systemd-run --quiet --unit=lbt-etcd ETCD/etcd --data-dir=/var/lib/lbt-etcd --unsafe-no-fsync
systemd-run --quiet --unit=lbt-apiserver KUBERNETES/kube-apiserver --etcd-servers=http://127.0.0.1:2379 \
  --advertise-address=$address --client-ca-file=$pki/ca.crt --authorization-mode=RBAC --allow-privileged=true \
  --tls-cert-file=$pki/apiserver.crt --tls-private-key-file=$pki/apiserver.key \
  --service-account-issuer=https://lbt --service-account-key-file=$pki/sa.pub \
  --service-account-signing-key-file=$pki/sa.key --service-cluster-ip-range=10.96.0.0/16
systemd-run --quiet --unit=lbt-controllers KUBERNETES/kube-controller-manager --leader-elect=false \
  --use-service-account-credentials \
  --kubeconfig=/etc/kubernetes/controller-manager.conf --service-account-private-key-file=$pki/sa.key
"""

STOP = """
# An API server that is asked waits a minute for those who watch.
systemctl kill --signal=KILL lbt-controllers lbt-apiserver lbt-etcd
systemctl stop lbt-controllers lbt-apiserver lbt-etcd
systemctl reset-failed 'lbt-*'
rm -rf /etc/kubernetes /var/lib/lbt-etcd /var/run/kubernetes ~/.kube
true
"""


@dataclass(frozen=True)
class Api:
    """The host, and what a task must be told of its API."""

    host: OneHost
    kubectl: str
    kubeconfig: str = "/etc/kubernetes/super-admin.conf"

    def __call__(self, arguments: str, *, check: bool = True) -> str:
        """What kubectl says."""
        return self.host.ssh(f"{self.kubectl} --kubeconfig={self.kubeconfig} {arguments}", check=check)

    @property
    def options(self) -> str:
        """Options of our modules."""
        return f"kubeconfig: {self.kubeconfig}, kubectl: {self.kubectl}"


@pytest.fixture(scope="module")
def api(host: OneHost) -> Iterator[Api]:
    """A running API. Its programs come from the store that the host sees, and are built where it lacks them."""
    trees = {name: Store().resolve(catalogue(name)).digest for name in ("kubernetes", "etcd")}
    folders = {name: f"/var/lib/labctl/store/trees/{digest}/bin" for name, digest in trees.items()}
    found = Api(host, f"{folders['kubernetes']}/kubectl")
    script = START.replace("KUBERNETES", folders["kubernetes"]).replace("ETCD", folders["etcd"])
    try:
        host.ssh(script)
        deadline = time.monotonic() + 60
        while "ok" not in found("get --raw /readyz", check=False):
            assert time.monotonic() < deadline, host.ssh("journalctl -u lbt-apiserver -n 20 --no-pager")
            time.sleep(0.3)
        yield found
    finally:
        host.ssh(STOP)
