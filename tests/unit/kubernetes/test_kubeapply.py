# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""k8s_apply: applied in order, pruned, recorded; and what it says when it cannot. On a double of the API."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils import kubeapply
from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Call, Outcome
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError
from ansible_collections.labctl.stacks.plugins.module_utils.kubeapi import KubeError
from ansible_collections.labctl.stacks.plugins.module_utils.manifest import Manifest
from unit.kubernetes.doubles import KubeDouble, Object, config, namespace, secret


class Site:
    """A host with a manifest and a cluster."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root / "labctl"
        self.api = KubeDouble()
        self.kubeconfig = root / "admin.conf"
        self.kubeconfig.write_text("")
        monkeypatch.setattr(kubeapply, "KubeApi", lambda *_: self.api)
        monkeypatch.setattr(kubeapply, "PATIENCE", 0.0)
        monkeypatch.setattr(kubeapply, "CACHE", str(root / "cache"))

    def call(self, items: list[Object], part: str = "main", *, check: bool = False, role: str = "lbt") -> Call:
        params = {
            "manifests_b64": base64.b64encode(json.dumps(items).encode()).decode(),
            "wait": False,
            "timeout": 0,
            "kubeconfig": str(self.kubeconfig),
            "server": "",
            "kubectl": "/bin/kubectl",
            "watch": True,
        }
        return Call(Manifest.load(role, self.root), f"k8s_apply/{part}", params, check)

    def present(self, *items: Object, **options: Any) -> Outcome:
        return kubeapply.present(self.call(list(items), **options))

    def absent(self, **options: Any) -> Outcome:
        return kubeapply.absent(self.call([], **options))

    def probe(self, part: str = "main", role: str = "lbt") -> dict[str, Any]:
        (probe,) = Manifest.load(role, self.root).records(f"k8s_apply/{part}", "probes").values()
        return probe

    def text(self) -> str:
        return "".join(path.read_text() for path in self.root.rglob("*.json"))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def told(outcome: Outcome) -> list[str]:
    return [str(change) for change in outcome.changes]


def test_a_second_run_changes_nothing_and_leaves_the_record_as_it_was(site: Site) -> None:
    first = site.present(namespace("demo"), config("a", word="x"))
    assert told(first) == ["Namespace demo: absent -> created", "ConfigMap demo/a: absent -> created"]
    recorded = site.text()
    second = site.present(namespace("demo"), config("a", word="x"))
    assert told(second) == []
    assert second.values["applied"] == ["Namespace demo", "ConfigMap demo/a"]
    assert site.text() == recorded
    assert site.probe()["stdout"].splitlines()[1].startswith("ConfigMap demo/a uid-")


def test_check_mode_says_what_a_run_does_and_does_nothing(site: Site) -> None:
    items = namespace("demo"), config("a", word="x")
    predicted = site.present(*items, check=True)
    assert not site.api.objects
    assert not site.text()
    assert told(predicted) == told(site.present(*items))
    changed = namespace("demo"), config("a", word="y"), config("b")
    predicted = site.present(*changed, check=True)
    assert site.api.objects["/ConfigMap/demo/a"]["data"] == {"word": "x"}
    assert told(predicted) == told(site.present(*changed))
    assert told(predicted) == [
        "ConfigMap demo/a: differs in data.word -> applied",
        "ConfigMap demo/b: absent -> created",
    ]


def test_check_mode_without_a_cluster_takes_all_as_new(site: Site) -> None:
    site.kubeconfig.unlink()
    outcome = site.present(namespace("demo"), check=True)
    assert told(outcome) == ["Namespace demo: absent -> created"]
    assert outcome.warnings


def test_what_is_no_longer_declared_is_deleted_last_first(site: Site) -> None:
    site.present(namespace("demo"), config("a"), config("b"), config("c"))
    predicted = site.present(namespace("demo"), config("b"), check=True)
    outcome = site.present(namespace("demo"), config("b"))
    assert site.api.deleted == ["/ConfigMap/demo/c", "/ConfigMap/demo/a"]
    assert (
        told(predicted)
        == told(outcome)
        == [
            "ConfigMap demo/c: present -> deleted",
            "ConfigMap demo/a: present -> deleted",
        ]
    )
    assert [one["metadata"]["name"] for one in site.probe()["objects"]] == ["demo", "b"]


def test_what_another_call_declares_too_stays_until_the_last(site: Site) -> None:
    site.present(namespace("demo"), config("a"), part="one")
    site.present(namespace("demo"), config("b"), part="two")
    site.absent(part="one")
    assert set(site.api.objects) == {"/Namespace/demo", "/ConfigMap/demo/b"}
    assert told(site.absent(part="two")) == [
        "ConfigMap demo/b: present -> deleted",
        "Namespace demo: present -> deleted",
    ]
    assert not site.api.objects
    assert not site.text()


def test_parts_undone_in_one_call_leave_nothing(site: Site) -> None:
    site.present(namespace("demo"), config("a"), part="one")
    site.present(namespace("demo"), config("b"), part="two")
    loaded = Manifest.load("lbt", site.root)
    for key in loaded.keys("k8s_apply"):
        kubeapply.absent(Call(loaded, key, site.call([]).params, False))
    assert not site.api.objects


def test_a_run_that_broke_off_is_known_and_finished_by_the_next(site: Site) -> None:
    with pytest.raises(ConvergeError, match="ConfigMap other/b"):
        site.present(namespace("demo"), config("a"), config("b", "other"))
    assert site.probe()["stdout"] == "not finished"
    assert len(site.probe()["objects"]) == 3
    site.present(namespace("demo"))
    assert set(site.api.objects) == {"/Namespace/demo"}
    assert "not finished" not in site.text()


def test_an_object_somebody_changed_is_put_back_and_counted_anew(site: Site) -> None:
    site.present(namespace("demo"), config("a", word="x"))
    before = site.probe()["stdout"]
    site.api.apply(config("a", word="edited"))
    assert told(site.present(namespace("demo"), config("a", word="x"))) == [
        "ConfigMap demo/a: differs in data.word -> applied"
    ]
    assert site.probe()["stdout"] != before


def test_no_value_of_a_secret_is_recorded_or_shown(site: Site) -> None:
    outcome = site.present(namespace("demo"), secret("s", word="Y2FuYXJ5"))
    everything = repr(outcome) + site.text()
    assert "Y2FuYXJ5" not in everything


def test_a_refusal_of_a_secret_hides_its_value(site: Site) -> None:
    site.present(namespace("demo"))
    site.api.errors = [KubeError("PATCH /x: data.word: Y2FuYXJ5 is not what I like", 422)]
    with pytest.raises(ConvergeError) as caught:
        kubeapply.Applier(site.api, [secret("s", word="Y2FuYXJ5")], check=False).apply_all()  # type: ignore[arg-type]
    assert "Secret demo/s: PATCH /x: data.word: (secret) is not" in str(caught.value)
    assert caught.value.hint


def test_what_others_added_to_a_list_gives_way_where_it_makes_ours_invalid(site: Site) -> None:
    site.present(namespace("demo"), config("a", word="x"))
    refused = KubeError("spec.ports[1].name: Required value", 422)
    merged = []
    site.api.merge = lambda item, dry_run: merged.append(dry_run) or site.api.apply(item)  # type: ignore[method-assign]
    for check in (True, False):
        applier = kubeapply.Applier(site.api, [config("a", word="y")], check=check)  # type: ignore[arg-type]
        site.api.errors = [refused]
        applier.apply_all()
    assert merged == [True, False]
    site.api.errors = [refused, KubeError("field is immutable", 422)]
    with pytest.raises(ConvergeError, match="Required value"):
        applier.apply_all()
    site.api.errors = [KubeError("spec.selector: field is immutable", 422), KubeError("x", 422)]
    with pytest.raises(ConvergeError) as caught:
        applier.apply_all()
    assert "delete this one" in caught.value.hint


def test_a_kind_declared_by_the_same_call_is_waited_for_and_in_check_mode_taken_as_coming(site: Site) -> None:
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.org"},
        "spec": {"group": "example.org", "names": {"kind": "Thing"}},
    }
    thing = {"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "one"}}
    assert told(site.present(definition, thing, check=True))[1] == "Thing one: absent -> created"
    with pytest.raises(ConvergeError, match="the API has no Other"):
        site.present(definition, {**thing, "kind": "Other"}, check=True)
    now = [0.0]
    applier = kubeapply.Applier(
        site.api,  # type: ignore[arg-type]
        [definition, thing],
        check=False,
        clock=lambda: now[0],
        sleep=lambda seconds: now.__setitem__(0, now[0] + seconds),
    )
    applier.apply_all()
    assert "/Thing/default/one" in site.api.objects


def test_a_server_that_restarts_is_asked_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubeapply, "PATIENCE", 5.0)
    site.api.errors = [KubeError("connection refused"), KubeError("etcd leader changed", 503)]
    assert told(site.present(namespace("demo"))) == ["Namespace demo: absent -> created"]


def test_a_broken_cluster_can_be_removed_with_a_warning(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.present(namespace("demo"))

    def refuse(*_: Any, **__: Any) -> None:
        raise KubeError("https://x:6443 does not answer")

    monkeypatch.setattr(site.api, "call", refuse)
    outcome = site.absent()
    assert "forgotten, not deleted" in outcome.warnings[0]
    assert told(outcome) == ["1 Kubernetes objects: recorded -> forgotten"]
    assert not site.text()


def test_a_cluster_that_is_gone_leaves_nothing_to_delete(site: Site) -> None:
    site.present(namespace("demo"))
    site.kubeconfig.unlink()
    outcome = site.absent()
    assert not outcome.warnings
    assert not site.text()
    assert told(site.absent()) == []


def test_a_namespace_that_stays_is_named_with_what_keeps_it(site: Site) -> None:
    site.present(namespace("demo"))
    item = site.api.objects["/Namespace/demo"]
    item["status"] = {
        "conditions": [{"type": "NamespaceContentRemaining", "message": "pods. has 1 resource instances"}]
    }
    site.api.delete = lambda path: True  # type: ignore[method-assign]
    now = [0.0]
    applier = kubeapply.Applier(
        site.api,  # type: ignore[arg-type]
        [],
        check=False,
        clock=lambda: now[0],
        sleep=lambda seconds: now.__setitem__(0, now[0] + seconds),
    )
    with pytest.raises(ConvergeError, match=r"after 3 s: Namespace demo \(pods. has 1 resource"):
        applier.prune([namespace("demo")], 3)
