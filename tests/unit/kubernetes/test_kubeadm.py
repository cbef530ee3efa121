# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of forming and joining a cluster can be told without one."""

from __future__ import annotations

import json
import stat
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils import kubeadm, kubeadm_init, kubeadm_join
from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Outcome
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError, PreflightError

RULES = """\
*filter
:INPUT ACCEPT [0:0]
:KUBE-FORWARD - [0:0]
-A INPUT -p tcp --dport 22 -j ACCEPT
-A INPUT -j KUBE-FIREWALL
COMMIT
*nat
:POSTROUTING ACCEPT [0:0]
:FLANNEL-POSTRTG - [0:0]
-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG
-A CNI-HOSTPORT-DNAT -p tcp -j CNI-DN-1
COMMIT
"""


class Manifest:
    """A manifest in memory, with the sections of modules of a role."""

    def __init__(self, **stages: str) -> None:
        self.sections = {
            f"{module}/main": {"probes": [{"name": "x", "stage": stage}]} for module, stage in stages.items()
        }

    def keys(self, module: str) -> list[str]:
        return [key for key in self.sections if key.startswith(f"{module}/")]

    def records(self, key: str, kind: str) -> dict[str, Any]:
        return {one["name"]: one for one in self.sections.get(key, {}).get(kind, [])}


def call(**stages: str) -> Any:
    return SimpleNamespace(manifest=Manifest(**stages), key="kubeadm_init/main", params={}, check=False)


def test_rules_of_kubernetes_go_and_others_stay() -> None:
    kept = kubeadm_join.without_chains(RULES)
    assert kept.splitlines() == [
        "*filter", ":INPUT ACCEPT [0:0]", "-A INPUT -p tcp --dport 22 -j ACCEPT", "COMMIT",
        "*nat", ":POSTROUTING ACCEPT [0:0]", "COMMIT",
    ]  # fmt: skip


def test_rules_without_kubernetes_are_left_alone() -> None:
    assert kubeadm_join.without_chains("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n") == ""


def test_a_token_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    made = kubeadm_join.token_secret("abcdef.0123456789abcdef", 0)
    assert made["metadata"]["name"] == "bootstrap-token-abcdef"
    assert made["stringData"]["expiration"] == "1970-01-01T00:00:00Z"
    assert made["stringData"]["token-secret"] == "0123456789abcdef"


OPTIONS = {
    "endpoint": "kubernetes-api:7443",
    "token": "abcdef.0123456789abcdef",
    "authority": "sha256:00",
    "node_name": "w1",
    "node_address": "10.0.0.2",
    "ignore_preflight_errors": ["Swap"],
    "taints": None,
    "certificate_key": "",
}


def test_a_node_is_pinned_to_its_clusters_authority() -> None:
    made = kubeadm_join.configuration(OPTIONS)
    assert made["discovery"]["bootstrapToken"]["caCertHashes"] == ["sha256:00"]
    assert "controlPlane" not in made
    assert "taints" not in made["nodeRegistration"]


def test_a_further_master_gets_the_keys() -> None:
    made = kubeadm_join.configuration({**OPTIONS, "certificate_key": "ab" * 32, "taints": []})
    assert made["controlPlane"]["certificateKey"] == "ab" * 32
    assert made["controlPlane"]["localAPIEndpoint"]["advertiseAddress"] == "10.0.0.2"
    assert made["nodeRegistration"]["taints"] == []


def test_what_is_secret_is_roots_alone_and_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubeadm_join, "RUN", str(tmp_path))
    with pytest.raises(ConvergeError), kubeadm_join.passing_file([{"a": 1}, {"b": 2}]) as path:
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
        assert [json.loads(part) for part in Path(path).read_text().split("\n---\n")] == [{"a": 1}, {"b": 2}]
        raise ConvergeError("kubeadm failed")
    assert list(tmp_path.iterdir()) == []


def test_another_clusters_host_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / "kubelet.conf"
    left.write_text("")
    monkeypatch.setattr(kubeadm, "LEFTOVERS", (str(left), str(tmp_path / "none")))
    with pytest.raises(PreflightError, match="another cluster") as caught:
        kubeadm.refuse_strangers(call())
    assert str(left) in str(caught.value)
    assert "kubeadm reset" in caught.value.hint
    kubeadm.refuse_strangers(call(kubeadm_join="begun"))
    left.unlink()
    kubeadm.refuse_strangers(call())


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ({}, ""),
        ({"kubeadm_init": "begun"}, "begun"),
        ({"kubeadm_join": "done", "kubeadm_init": "begun"}, "begun"),
        ({"kubeadm_join": "begun", "kubeadm_init": "done"}, "begun"),
        ({"kubeadm_join": "done", "kubeadm_init": "done"}, "done"),
    ],
)
def test_an_unfinished_run_is_known_whichever_module_it_was_in(stages: dict[str, str], expected: str) -> None:
    assert kubeadm.begun(call(**stages)).get("stage", "") == expected


def test_a_cluster_that_was_formed_is_never_formed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubeadm_init, "is_member", lambda *_: False)
    monkeypatch.setattr(kubeadm, "kubelet_trouble", lambda _: "\nkubelet is failed")
    monkeypatch.setattr(kubeadm, "LOCK", str(tmp_path / "lock"))
    here = call(kubeadm_init="done")
    here.params = {"node_name": "m", "timeout": 1, "form": True, "config": "x", "digests": {}}
    with pytest.raises(ConvergeError, match="control plane of m does not work") as caught:
        kubeadm_init.present(here)
    assert "never formed anew" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fine\n", ""),
        ("\t[ERROR Swap]: running with swap on\nother\n", "[ERROR Swap]: running with swap on"),
        (
            'E1122 10:00:00.1 1 run.go:72] "command failed" err="failed to load: no such file"\nx\n',
            'E1122 10:00:00.1 1 run.go:72] "command failed" err="failed to load: no such file"',
        ),
    ],
)
def test_the_cause_is_picked_out(text: str, expected: str) -> None:
    assert kubeadm.causes(text) == expected


def test_a_kubeadm_whose_run_was_killed_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, marker = tmp_path / "lock", tmp_path / "marker"
    monkeypatch.setattr(kubeadm, "LOCK", str(lock))
    orphan = subprocess.Popen(["flock", str(lock), "sh", "-c", f"touch {marker}; exec sleep 1"])
    while not marker.exists():
        time.sleep(0.01)
    with pytest.raises(ConvergeError, match="still works on this host"):
        kubeadm.wait_for_orphans(0)
    kubeadm.wait_for_orphans(20)
    assert orphan.wait(5) == 0


@pytest.mark.parametrize(
    ("adopt", "known", "due"),
    [
        (True, None, []),
        (True, {"etcd": "old", "apiServer": "a"}, ["etcd"]),
        (False, None, ["etcd", "apiServer"]),
        (False, {"etcd": "e", "apiServer": "a"}, []),
    ],
)
def test_only_parts_that_differ_are_due(adopt: bool, known: dict[str, str] | None, due: list[str]) -> None:
    here = call()
    here.check = True
    here.params = {"digests": {"etcd": "e", "apiServer": "a"}, "adopt": adopt, "node_name": "m", "timeout": 1}
    outcome = Outcome()
    kubeadm_init._settings(here, known, outcome)
    assert outcome.values.get("settings", []) == due
    assert len(outcome.changes) == len(due)
