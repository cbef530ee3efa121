# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: forming a cluster on its first master, once, and keeping its settings on all of them.

Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils import kubeadm
from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Call, Change, Outcome, command
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError
from ansible_collections.labctl.stacks.plugins.module_utils.kubeapi import KubeApi, KubeError, wait

#: What a finished ``kubeadm init`` has made, the last of it last.
MADE = (
    "/api/v1/namespaces/kube-system/configmaps/kubeadm-config",
    "/api/v1/namespaces/kube-system/configmaps/kubelet-config",
    "/api/v1/namespaces/kube-public/configmaps/cluster-info",
    "/apis/apps/v1/namespaces/kube-system/deployments/coredns",
    "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy",
)


def lacking(api: KubeApi, name: str) -> str:
    """What a cluster still lacks of what ``kubeadm init`` makes on the node of this name; "" for nothing."""
    if wrong := api.ready():
        return wrong
    if not kubeadm.node(api, name):
        return f"there is no node {name}"
    return next((f"there is no {path.rpartition('/')[2]}" for path in MADE if api.get(path) is None), "")


def is_member(name: str, seconds: float) -> bool:
    """Whether this host is a master of a whole cluster, waiting for an API that was left to start."""
    api = kubeadm.api_here()
    if api is None or not Path(kubeadm.LEFTOVERS[1]).exists():
        return False
    try:
        return not wait(lambda: lacking(api, name), seconds)
    except KubeError as exc:
        raise ConvergeError(
            f"the API of this host refuses us: {exc}", hint="see kubeadm certs check-expiration"
        ) from exc


def present(call: Call) -> Outcome:
    """Form the cluster where ``form`` says so and it is not there; bring changed settings to this master."""
    options = call.params
    if not call.check:
        kubeadm.wait_for_orphans(options["timeout"])
    before = kubeadm.begun(call)
    digests = next((one.get("digests") for one in call.manifest.records(call.key, "probes").values()), None)
    finished = before.get("stage") == "done"
    member = is_member(options["node_name"], options["timeout"] if finished and not call.check else 0)
    outcome = Outcome(values={"member": member, "formed": False, "settings": []})
    if finished and not member and not call.check:
        raise ConvergeError(
            f"the control plane of {options['node_name']} does not work{kubeadm.kubelet_trouble(0)}",
            hint="mend what is told here and run again; a cluster that was formed is never formed anew. "
            "To give it up: labctl.stacks.k8s_remove",
        )
    if not member:
        kubeadm.refuse_strangers(call)
    if not member and options["form"]:
        outcome.values.update(member=not call.check, formed=True)
        outcome.changes.append(Change("cluster", "absent" if not before else "begun", "formed"))
        if not call.check:
            _form(call, again=bool(before))
            return outcome
    if member:
        _settings(call, digests, outcome)
    return outcome


def _record(call: Call, stage: str) -> None:
    options = call.params
    # The API's own word, asked by the verifier as by anybody else.
    probe = {
        "name": "API server",
        "argv": [*kubeadm.KUBECTL, "get", "--raw", "/readyz"],
        "stdout": "ok",
        "timeout": 5,
        "stage": stage,
        "digests": options["digests"],
    }
    call.record_later({"probes": [probe]})


def _form(call: Call, *, again: bool) -> None:
    options = call.params
    _record(call, "begun")
    ignored = [*options["ignore_preflight_errors"], *(kubeadm.OURS if again else ())]
    arguments = ["init", "--config", options["config"], "--skip-token-print", "--skip-certificate-key-print"]
    # kubeadm's own list stands in the configuration; what is given here comes on top of none.
    arguments += [f"--ignore-preflight-errors={','.join(ignored)}"] if ignored else []
    kubeadm.run_kubeadm(arguments, timeout=options["timeout"], what="kubeadm init")
    _record(call, "done")


#: The pods that kubelet starts from files.
STATIC = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
#: Which of kubeadm's phases brings which part of the settings. What the whole cluster reads comes first, while this
#: master still works as it did; then what this master runs, one after another.
PHASES: dict[str, list[list[str]]] = {
    "cluster": [["init", "phase", "upload-config", "kubeadm"]],
    "kubelet": [["init", "phase", "upload-config", "kubelet"], ["upgrade", "node", "phase", "kubelet-config"]],
    "proxy": [["init", "phase", "addon", "kube-proxy"]],
    "dns": [["init", "phase", "addon", "coredns"]],
    "certificates": [["init", "phase", "certs", "apiserver"]],
    "etcd": [["init", "phase", "etcd", "local"]],
    "apiServer": [["init", "phase", "control-plane", "apiserver"]],
    "controllerManager": [["init", "phase", "control-plane", "controller-manager"]],
    "scheduler": [["init", "phase", "control-plane", "scheduler"]],
}


def _settings(call: Call, known: dict[str, str] | None, outcome: Outcome) -> None:
    """Bring the parts whose digest differs from that of what runs, while every other master works.

    Of a master whose record was lost nothing is known: all parts are brought.
    """
    options = call.params
    if options["adopt"] and known is None:
        # It runs on what the cluster told it when it joined, and the cluster was told before.
        if not call.check:
            _record(call, "done")
        return
    due = [part for part in PHASES if (known or {}).get(part) != options["digests"].get(part)]
    outcome.values["settings"] = due
    outcome.changes += [Change(f"settings of {part}", "older" if known else "not known", "applied") for part in due]
    if call.check or not due:
        return
    api = kubeadm.api_here()
    if api is None:
        raise ConvergeError("the administrator's kubeconfig of this host cannot be read")
    if wrong := wait(lambda: _others(api, options["node_name"]), options["timeout"]):
        raise ConvergeError(
            f"the settings of {options['node_name']} were not changed, as no other master can be spared: {wrong}",
            hint="mend that master first; the change is still due",
        )
    for part in due:
        _bring(api, part, options)
    _record(call, "done")


def _bring(api: KubeApi, part: str, options: dict[str, Any]) -> None:
    """Run a part's phases, and wait until this master works on what they wrote. ConvergeError where it does not."""
    name = options["node_name"]
    manifests = {static: _text(static) for static in STATIC}
    hashes = {static: _hash(_pod(api, static, name)) for static in STATIC}
    if part == "certificates":
        for half in ("crt", "key"):
            Path(f"/etc/kubernetes/pki/apiserver.{half}").unlink(missing_ok=True)
    for phase in PHASES[part]:
        configuration = ["--config", options["config"]] if phase[0] == "init" else []
        kubeadm.run_kubeadm([*phase, *configuration], timeout=options["timeout"], what=f"kubeadm {' '.join(phase)}")
    if part == "kubelet":
        command(["systemctl", "restart", "kubelet.service"], what="kubelet cannot be restarted")
    old = {static: hashes[static] for static in STATIC if manifests[static] != _text(static)}
    if wrong := wait(lambda: _unsettled(api, name, old), options["timeout"]):
        raise ConvergeError(f"after the settings of {part} were changed, {wrong}{kubeadm.kubelet_trouble(0)}")


def _text(part: str) -> str:
    path = Path(f"/etc/kubernetes/manifests/{part}.yaml")
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _pod(api: KubeApi, part: str, name: str) -> dict[str, Any]:
    return dict(api.get(f"/api/v1/namespaces/kube-system/pods/{part}-{name}") or {})


def _hash(pod: dict[str, Any]) -> str:
    """Which version of its file a static pod runs."""
    return str(pod.get("metadata", {}).get("annotations", {}).get("kubernetes.io/config.hash", ""))


def _ready(pod: dict[str, Any]) -> bool:
    states = pod.get("status", {}).get("containerStatuses", [])
    return bool(states) and all(state.get("ready") for state in states)


def _unsettled(api: KubeApi, name: str, old: dict[str, str]) -> str:
    """What of this master does not run yet as its file says; ``old`` are the versions of what was changed."""
    try:
        if wrong := api.ready():
            return wrong
        for part in STATIC:
            pod = _pod(api, part, name) if _text(part) else {}
            if part in old and _hash(pod) == old[part]:
                return f"{part} of {name} was not started anew"
            if _text(part) and not _ready(pod):
                return f"{part} of {name} is not ready"
    except KubeError as exc:
        # A server that has just started knows nobody's rights for a moment.
        if exc.status != 403:
            raise
        return str(exc)
    return ""


def _others(api: KubeApi, name: str) -> str:
    """What is wrong with another master; "" for nothing."""
    for pod in api.items("/api/v1/namespaces/kube-system/pods?labelSelector=tier%3Dcontrol-plane"):
        if pod["spec"].get("nodeName") != name and not _ready(pod):
            return f"{pod['metadata']['name']} is not ready"
    return ""


def absent(call: Call) -> Outcome:
    """Forget the section; kubeadm_join takes the cluster off the host."""
    known = kubeadm.begun(call)
    if not call.check:
        call.record_later(None)
    return Outcome(changes=[Change("control plane", "recorded", "forgotten")] if known else [])
