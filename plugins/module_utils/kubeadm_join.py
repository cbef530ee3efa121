# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: making a host a node or a further master of a cluster, letting it in, and taking it out.

Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils import kubeadm
from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Call, Change, Outcome, command
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.kubeapi import KubeApi, KubeError, wait

#: In memory: what is written here is secret and of use for a moment only.
RUN = "/run"
#: Seconds that an API may take to come back, as after a reboot of its hosts.
API_SECONDS = 90.0
#: Seconds for which a token lets hosts in.
TOKEN_SECONDS = 1800
SYSTEM = "/api/v1/namespaces/kube-system"


@contextlib.contextmanager
def passing_file(documents: list[dict[str, Any]]) -> Iterator[str]:
    """A file that only root can read, for as long as kubeadm needs it. JSON is YAML."""
    descriptor, path = tempfile.mkstemp(prefix="labctl-kubeadm-", suffix=".yaml", dir=RUN)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write("\n---\n".join(json.dumps(one) for one in documents))
        yield path
    finally:
        Path(path).unlink()


# On a master: letting hosts in ------------------------------------------------------------------------------------


def admit(options: dict[str, Any], check: bool) -> Outcome:
    """Have a token that lets hosts in for half an hour, and for masters the cluster's keys, locked with a key."""
    api = kubeadm.api_here()
    if api is None:
        raise PreflightError("this host is no master", hint="delegate the task to one that is")
    name, token, key = options["node_name"], options["token"], options["certificate_key"]
    outcome = Outcome(values={"authority": kubeadm.authority_hash()})
    try:
        taken = kubeadm.node(api, name)
        if taken and kubeadm.is_ready(taken) and options["node_address"] not in addresses(taken):
            raise PreflightError(
                f"the cluster has a node {name} already, which works, and the host {name} is not it",
                hint=f"give the host another name; or, where the node is no more: kubectl delete node {name}",
            )
        outcome.changes.append(Change(f"door for {name}", "closed", f"open for {TOKEN_SECONDS // 60} min"))
        if check:
            return outcome
        if taken:
            # What the host was before it was lost, or a join that was killed, must not stand in the way.
            api.delete(f"/api/v1/nodes/{name}")
        api.apply(token_secret(token, time.time() + TOKEN_SECONDS))
        if key:
            drop_stale_member(api, name)
            _upload(key)
    except KubeError as exc:
        raise ConvergeError(f"the cluster does not let {name} in: {exc}") from exc
    return outcome


def addresses(node: dict[str, Any]) -> list[str]:
    """The addresses a node has."""
    return [str(one.get("address")) for one in node.get("status", {}).get("addresses", [])]


def token_secret(token: str, expires: float) -> dict[str, Any]:
    """A bootstrap token as the API keeps it. Source:
    https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/."""
    number, _, secret = token.partition(".")
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"bootstrap-token-{number}", "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token",
        "stringData": {
            "token-id": number,
            "token-secret": secret,
            "expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires)),
            "usage-bootstrap-authentication": "true",
            "usage-bootstrap-signing": "true",
            "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
        },
    }


def _upload(key: str) -> None:
    """Put the cluster's keys, encrypted with ``key``, where a further master fetches them."""
    init = {"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "InitConfiguration", "certificateKey": key}
    cluster = kubeadm.cluster_configuration()
    with passing_file([init, cluster]) as path:
        arguments = [
            "init",
            "phase",
            "upload-certs",
            "--upload-certs",
            "--config",
            path,
            "--skip-certificate-key-print",
        ]
        kubeadm.run_kubeadm(arguments, timeout=60, what="kubeadm init phase upload-certs")


def etcdctl(*arguments: str) -> Any:
    """What etcdctl in this host's etcd pod answers, as JSON."""
    pki = "/etc/kubernetes/pki/etcd"
    argv = [
        *kubeadm.KUBECTL, "--namespace", "kube-system", "exec", f"etcd-{os.uname().nodename}", "--",
        "etcdctl", "--write-out", "json",
        "--endpoints", "https://127.0.0.1:2379", "--cacert", f"{pki}/ca.crt",
        "--cert", f"{pki}/server.crt", "--key", f"{pki}/server.key", *arguments,
    ]  # fmt: skip
    return json.loads(command(argv, timeout=30, what=f"etcdctl {' '.join(arguments)}"))


def drop_stale_member(api: KubeApi, name: str) -> bool:
    """Remove the etcd member of a master that is no more, so that one of its name can come; whether there was one.

    An added member that never started counts in the quorum: left there, it makes the cluster one failure poorer.
    """
    members = etcdctl("member", "list").get("members", [])
    peers = {url for pod in _etcd_pods(api) if pod["spec"].get("nodeName") == name for url in _peer_urls(pod)}
    for member in members:
        if member.get("name") == name or peers & set(member.get("peerURLs", [])):
            etcdctl("member", "remove", f"{member['ID']:x}")
            return True
    return False


def _etcd_pods(api: KubeApi) -> list[dict[str, Any]]:
    return api.items(f"{SYSTEM}/pods?labelSelector=component%3Detcd")


def _peer_urls(pod: dict[str, Any]) -> list[str]:
    words = [word for box in pod["spec"]["containers"] for word in box.get("command", [])]
    return [word.partition("=")[2] for word in words if word.startswith("--initial-advertise-peer-urls=")]


# On the host that joins -------------------------------------------------------------------------------------------


def is_member(name: str, stage: str) -> bool:
    """Whether this host is a node, as the API says when asked with the host's own certificate.

    ``stage`` is how far an earlier run came. An API that is starting again is waited for.
    """
    if stage == "begun" or not Path(kubeadm.KUBELET_CONF).exists():
        return False
    found: dict[str, Any] = {}

    def ask() -> str:
        found.update(kubeadm.node(KubeApi(kubeadm.KUBELET_CONF, timeout=5), name))
        return ""

    try:
        wrong = wait(ask, API_SECONDS if stage == "done" else 0)
    except KubeError as exc:
        if exc.status not in (401, 403):
            raise
        # The certificate of a cluster that is no more, or of a node that was removed.
        return False
    if wrong:
        raise ConvergeError(
            f"whether this host is a node cannot be told: {wrong}", hint="bring the control plane back first"
        )
    return bool(found)


def configuration(options: dict[str, Any]) -> dict[str, Any]:
    """What kubeadm join is told. Source: https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta4/."""
    found: dict[str, Any] = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "JoinConfiguration",
        "discovery": {
            "bootstrapToken": {
                "apiServerEndpoint": options["endpoint"],
                "token": options["token"],
                "caCertHashes": [options["authority"]],
            },
            "tlsBootstrapToken": options["token"],
        },
        "nodeRegistration": {
            "name": options["node_name"],
            "criSocket": "unix:///run/containerd/containerd.sock",
            "kubeletExtraArgs": [{"name": "node-ip", "value": options["node_address"]}],
            "ignorePreflightErrors": options["ignore_preflight_errors"],
            "imagePullPolicy": "IfNotPresent",
            **({"taints": options["taints"]} if options["taints"] is not None else {}),
        },
    }
    if options["certificate_key"]:
        found["controlPlane"] = {
            "localAPIEndpoint": {"advertiseAddress": options["node_address"], "bindPort": 6443},
            "certificateKey": options["certificate_key"],
        }
    return found


def join(call: Call) -> Outcome:
    """Make the host a member. Without ``token`` it only says whether it is one."""
    options = call.params
    if not call.check:
        kubeadm.wait_for_orphans(options["timeout"])
    before = kubeadm.begun(call)
    member = is_member(options["node_name"], before.get("stage", ""))
    outcome = Outcome(values={"member": member, "begun": bool(before)})
    if member:
        _kubelet_settings(call, before, outcome)
        return outcome
    kubeadm.refuse_strangers(call)
    if not options["token"] and not call.check:
        return outcome
    outcome.changes.append(Change(f"node {options['node_name']}", "not a member", "joined"))
    if call.check:
        return outcome
    if kubeadm.leftovers():
        # A join that died, or a node that was removed: all of it is the work of an earlier run of ours.
        reset(options["timeout"])
    _record(call, "begun")
    with passing_file([configuration(options)]) as path:
        kubeadm.run_kubeadm(["join", "--config", path], timeout=options["timeout"], what="kubeadm join")
    _record(call, "done", kubelet_settings())
    outcome.values["member"] = True
    return outcome


def kubelet_settings() -> str:
    """Digest of the settings that the cluster has for its nodes' kubelets."""
    found = KubeApi(kubeadm.KUBELET_CONF).get(f"{SYSTEM}/configmaps/kubelet-config") or {}
    return hashlib.sha256(json.dumps(found.get("data", {}), sort_keys=True).encode()).hexdigest()


def _kubelet_settings(call: Call, before: dict[str, Any], outcome: Outcome) -> None:
    """Bring kubelet the settings that the cluster has by now, where they are not those it was last brought."""
    now = kubelet_settings()
    if before.get("kubelet", now) != now:
        outcome.changes.append(Change("kubelet's settings", "older", "the cluster's"))
        if not call.check:
            phase = ["upgrade", "node", "phase", "kubelet-config"]
            kubeadm.run_kubeadm(phase, timeout=call.params["timeout"], what=f"kubeadm {' '.join(phase)}")
            command(["systemctl", "restart", "kubelet.service"], what="kubelet cannot be restarted")
    if not call.check:
        _record(call, "done", now)


def _record(call: Call, stage: str, kubelet: str = "") -> None:
    path = f"/api/v1/nodes/{call.params['node_name']}"
    probe = {
        "name": "membership",
        # By the host's own certificate, so that a node which somebody deleted is noticed.
        "argv": [kubeadm.KUBECTL[0], f"--kubeconfig={kubeadm.KUBELET_CONF}", "get", "--raw", path],
        "contains": f'"name":"{call.params["node_name"]}"',
        "timeout": 5,
        "stage": stage,
        "kubelet": kubelet,
    }
    call.record_later({"probes": [probe]})


def absent(call: Call) -> Outcome:
    """Take everything of the cluster off the host."""
    known, found = kubeadm.begun(call), kubeadm.leftovers()
    outcome = Outcome()
    if known or found:
        outcome.changes.append(Change("membership", "member", "reset"))
    if not call.check:
        if known or found:
            reset(call.params["timeout"], everything=True)
        call.record_later(None)
    return outcome


#: Folders of a cluster on a host, emptied and, where nobody mounted them, removed. Not among them is /etc/cni/net.d,
#: without which containerd ends its service for kubelet.
FOLDERS = (
    "/run/flannel",
    "/var/lib/cni",
    "/var/lib/etcd",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
)
LINKS = ("cni0", "flannel.1", "kube-ipvs0", "nodelocaldns")
#: Chains of Kubernetes' and its network's, in all tables.
CHAINS = ("KUBE-", "CNI-", "FLANNEL-")


def reset(timeout: float, *, everything: bool = False) -> None:
    """Take a cluster off this host: pods, links, rules of the firewall, its files, and with ``everything`` those that
    it was made of. Etcd gives its place up by itself."""
    command(["env", f"PATH={kubeadm.PATH}", kubeadm.KUBEADM, "reset", "--force"], timeout=timeout, check=False)
    Path(kubeadm.LOCK).unlink(missing_ok=True)
    command(["systemctl", "stop", "kubelet.service"], check=False)
    for link in LINKS:
        if Path(f"/sys/class/net/{link}").exists():
            command(["ip", "link", "delete", link], check=False)
    for pods in sorted(Path("/sys/fs/cgroup").glob("*/kubepods*")) + sorted(Path("/sys/fs/cgroup").glob("kubepods*")):
        command(["find", str(pods), "-depth", "-type", "d", "-delete"], check=False)
    for program in ("iptables", "ip6tables"):
        rules = command([f"{program}-save"], check=False)
        if kept := without_chains(rules):
            subprocess.run([f"{program}-restore"], input=kept.encode(), check=False, capture_output=True, timeout=30)
    for folder in (*FOLDERS, *(("/etc/kubernetes",) if everything else ())):
        _empty(Path(folder))


def without_chains(rules: str) -> str:
    """Rules as iptables-save prints them, without those of Kubernetes; "" where there are none of it."""
    lines = rules.splitlines()
    kept = [line for line in lines if not any(chain in line for chain in CHAINS)]
    return "\n".join(kept) + "\n" if len(kept) < len(lines) else ""


def _empty(folder: Path) -> None:
    """Unmount and remove what is in a folder; the folder itself too, unless something is mounted on it."""
    mounts = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines() if line]
    for point in sorted((point for point in mounts if point.startswith(f"{folder}/")), key=len, reverse=True):
        command(["umount", "--lazy", point], check=False)
    if folder.is_dir():
        command(["find", str(folder), "-mindepth", "1", "-xdev", "-delete"], check=False)
        with contextlib.suppress(OSError):
            folder.rmdir()
