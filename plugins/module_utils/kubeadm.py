# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: what a host is to a Kubernetes cluster, and kubeadm, which makes it that.

The product is asked, not a marker: a host belongs to a cluster when the API says so. What labctl began is recorded in
the manifest before kubeadm starts, so that a run that died in the middle is told from another cluster's leftovers.

Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Call, command
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.kubeapi import ADMIN, KubeApi, KubeError

KUBEADM = "/opt/kubernetes/bin/kubeadm"
#: Held by a kubeadm that runs.
LOCK = "/run/labctl-kubeadm.lock"
#: kubeadm starts kubelet, and looks for the tools of networks and mounts.
PATH = "/opt/kubernetes/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: This host's own API server, whoever else there is.
LOCAL = "https://127.0.0.1:6443"
KUBECTL = ["/opt/kubernetes/bin/kubectl", "--kubeconfig", ADMIN, "--server", LOCAL]
KUBELET_CONF = "/etc/kubernetes/kubelet.conf"
AUTHORITY = "/etc/kubernetes/pki/ca.crt"
#: What kubeadm leaves, and what makes its preflight refuse a host.
LEFTOVERS = (KUBELET_CONF, "/etc/kubernetes/manifests/kube-apiserver.yaml", "/var/lib/etcd/member", AUTHORITY)
#: What may be there when kubeadm is called again after it was killed: all of it is its own.
OURS = (
    "DirAvailable--etc-kubernetes-manifests",
    "DirAvailable--var-lib-etcd",
    "FileAvailable--etc-kubernetes-bootstrap-kubelet.conf",
    "FileAvailable--etc-kubernetes-kubelet.conf",
    "FileAvailable--etc-kubernetes-manifests-etcd.yaml",
    "FileAvailable--etc-kubernetes-manifests-kube-apiserver.yaml",
    "FileAvailable--etc-kubernetes-manifests-kube-controller-manager.yaml",
    "FileAvailable--etc-kubernetes-manifests-kube-scheduler.yaml",
    "FileAvailable--etc-kubernetes-pki-ca.crt",
    "Port-10250",
    "Port-10257",
    "Port-10259",
    "Port-2379",
    "Port-2380",
    "Port-6443",
)
#: Lines of a journal or of kubeadm's output that name a cause. klog: https://github.com/kubernetes/klog.
_CAUSE = re.compile(r"^(?:[EF]\d{4} .*?\] ?|\s*\[ERROR |error execution phase |.*\berr(?:or)?=)")


def leftovers() -> list[str]:
    """The files of some cluster on this host."""
    return [path for path in LEFTOVERS if Path(path).exists()]


def begun(call: Call) -> dict[str, Any]:
    """What labctl recorded when it began to make this host a member, forming the cluster or joining it; empty for
    nothing."""
    found: dict[str, Any] = {}
    for module in ("kubeadm_join", "kubeadm_init"):
        for key in call.manifest.keys(module):
            for record in call.manifest.records(key, "probes").values():
                # A master is asked by both; what was not finished counts.
                found.update(record if not found or record["stage"] == "begun" else {**record, **found})
    return found


def refuse_strangers(call: Call) -> None:
    """PreflightError for a host that holds some cluster's files though labctl never began to make it a member."""
    found = leftovers()
    if found and not begun(call):
        raise PreflightError(
            f"this host holds what another cluster left: {', '.join(found)}",
            hint="if nobody needs it, clear the host and run again: kubeadm reset --force",
        )


def authority_hash() -> str:
    """The pin of the cluster's authority that joining nodes check; "" where this host has none."""
    path = Path(AUTHORITY)
    if not path.exists():
        return ""
    key = subprocess.run(
        ["openssl", "x509", "-in", str(path), "-pubkey", "-noout"], capture_output=True, check=True, timeout=10
    ).stdout
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-outform", "der"], input=key, capture_output=True, check=True, timeout=10
    ).stdout
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


def node(api: KubeApi, name: str) -> dict[str, Any]:
    """The node of this name as the API has it; empty for none."""
    return dict(api.get(f"/api/v1/nodes/{name}") or {})


def is_ready(found: dict[str, Any]) -> bool:
    """Whether a node says of itself that it is ready."""
    conditions = found.get("status", {}).get("conditions", [])
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def wait_for_orphans(seconds: float) -> None:
    """Wait until a kubeadm ends that a killed run began. ConvergeError where it does not within ``seconds``."""
    deadline = time.monotonic() + seconds
    descriptor = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ConvergeError(
                        f"a kubeadm of an earlier run still works on this host after {seconds:.0f} s",
                        hint="wait for it to end, or end it: pgrep -a kubeadm",
                    ) from None
            time.sleep(0.2)
    finally:
        os.close(descriptor)


def run_kubeadm(arguments: list[str], *, timeout: float, what: str) -> None:
    """Run kubeadm; ConvergeError with the cause: kubeadm's own errors, and what kubelet says in its journal."""
    began = time.time()
    try:
        # The program inherits the lock, and has it for as long as it runs, whatever becomes of us.
        command(
            ["flock", "--timeout", "60", LOCK, "env", f"PATH={PATH}", KUBEADM, *arguments], timeout=timeout, what=what
        )
    except ConvergeError as exc:
        raise ConvergeError(
            f"{what} failed: {causes(str(exc)) or str(exc)[-600:]}{kubelet_trouble(began)}",
            hint="mend the cause and run again: it goes on where it stopped; on the host: journalctl -u kubelet",
        ) from exc


def causes(text: str, most: int = 4) -> str:
    """The last lines of an output that name a cause."""
    lines = [line.strip() for line in text.splitlines() if _CAUSE.search(line)]
    return "; ".join(list(dict.fromkeys(lines))[-most:])[-1200:]


def kubelet_trouble(since: float) -> str:
    """What kubelet's journal names as a cause since a moment (seconds of the epoch), in words; "" for nothing."""
    state = command(["systemctl", "is-active", "kubelet.service"], check=False).strip()
    journal = command(
        ["journalctl", "--unit=kubelet", f"--since=@{int(since)}", "--output=cat", "--no-pager", "--lines=300"],
        check=False,
    )
    told = causes(journal, 2)
    return f"\nkubelet is {state}" + (f" and says: {told}" if told else "")


def cluster_configuration() -> dict[str, Any]:
    """The least that a phase of kubeadm has to be told of a cluster. Without a version it would ask the Internet."""
    version = command([KUBEADM, "version", "--output", "short"], timeout=30).strip()
    return {"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "ClusterConfiguration", "kubernetesVersion": version}


def api_here(timeout: float = 15) -> KubeApi | None:
    """The API of this master as its administrator; None where this host is none, or has no readable kubeconfig."""
    if not Path(ADMIN).exists():
        return None
    try:
        return KubeApi(ADMIN, server=LOCAL, timeout=timeout)
    except KubeError:
        return None
