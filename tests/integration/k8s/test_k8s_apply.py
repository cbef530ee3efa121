# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""k8s_apply with a real API server: run, again, check, diff, drift, prune, trouble, remove; and no secret anywhere."""

from __future__ import annotations

import base64
import shlex

import pytest
from integration.k8s.conftest import Api

pytestmark = pytest.mark.root

CANARY = "canary-of-k8s-apply"

OBJECTS = """
      - {apiVersion: v1, kind: Namespace, metadata: {name: lbt}}
      - apiVersion: apiextensions.k8s.io/v1
        kind: CustomResourceDefinition
        metadata: {name: things.lbt.example}
        spec:
          group: lbt.example
          scope: Namespaced
          names: {kind: Thing, plural: things}
          versions:
            - name: v1
              served: true
              storage: true
              schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
      - {apiVersion: lbt.example/v1, kind: Thing, metadata: {name: one, namespace: lbt}, spec: {size: 1}}
      - {apiVersion: v1, kind: ConfigMap, metadata: {name: words, namespace: lbt}, data: {word: "WORD"}}
      - {apiVersion: v1, kind: Secret, metadata: {name: key, namespace: lbt}, stringData: {key: CANARY}}
      - apiVersion: v1
        kind: Service
        metadata: {name: web, namespace: lbt}
        spec: {selector: {app: web}, ports: [{port: 80}]}
      - apiVersion: apps/v1
        kind: Deployment
        metadata: {name: web, namespace: lbt}
        spec:
          replicas: 0
          selector: {matchLabels: {app: web}}
          template:
            metadata: {labels: {app: web}}
            spec: {containers: [{name: web, image: "localhost/labctl/labweb:1.0.0"}]}
"""

LIFE = """
- name: predicted
  check_mode: true
  labctl.stacks.k8s_apply: &declared
    role: lbt
    OPTIONS
    manifests: OBJECTS
- name: first
  diff: true
  labctl.stacks.k8s_apply: *declared
- name: second
  labctl.stacks.k8s_apply: *declared
- name: second predicted
  check_mode: true
  labctl.stacks.k8s_apply: *declared
- name: other predicted
  check_mode: true
  diff: true
  labctl.stacks.k8s_apply: &other
    role: lbt
    OPTIONS
    manifests: OTHERS
- name: other
  diff: true
  labctl.stacks.k8s_apply: *other
"""

REMOVE = """
- name: predicted
  check_mode: true
  labctl.stacks.k8s_apply: &gone {role: lbt, state: absent, OPTIONS}
- name: removed
  labctl.stacks.k8s_apply: *gone
- name: again
  labctl.stacks.k8s_apply: *gone
"""

NAMES = [
    "Namespace lbt",
    "CustomResourceDefinition things.lbt.example",
    "Thing lbt/one",
    "ConfigMap lbt/words",
    "Secret lbt/key",
    "Service lbt/web",
    "Deployment lbt/web",
]


def block(options: str) -> str:
    return "\n    ".join(options.split(", "))


def declared(word: str = "first", secret: str = CANARY) -> str:
    return OBJECTS.replace("WORD", word).replace("CANARY", secret)


def probe_of(api: Api) -> tuple[str, str]:
    """What the recorded probe answers now, and what it shall."""
    ((_, section),) = api.host.manifest("lbt")["sections"].items()
    (probe,) = section["probes"]
    return api.host.ssh(shlex.join(probe["argv"]), check=False), probe["stdout"]


def test_life(api: Api) -> None:
    text = LIFE.replace("OBJECTS", declared()).replace("OTHERS", declared("second", "another-" + CANARY))
    run = api.host.run_playbook(text.replace("OPTIONS", block(api.options)), "-vvvv")
    assert run.rc == 0, run.stdout
    created = [f"{name}: absent -> created" for name in NAMES]
    assert run["predicted"]["changes"] == run["first"]["changes"] == created
    assert run["first"]["applied"] == NAMES
    assert not run["second"]["changed"]
    assert not run["second predicted"]["changed"]
    assert run["second"]["manifest"] == run["first"]["manifest"]
    assert (
        run["other predicted"]["changes"]
        == run["other"]["changes"]
        == [
            "ConfigMap lbt/words: differs in data.word -> applied",
            "Secret lbt/key: differs in data.key -> applied",
        ]
    )
    assert run["other predicted"]["diff"] == run["other"]["diff"]
    diffs = {one["before_header"]: one for one in run["other"]["diff"]}
    assert '"word": "first"' in diffs["ConfigMap lbt/words"]["before"]
    assert '"word": "second"' in diffs["ConfigMap lbt/words"]["after"]
    assert '"key": "(secret, another)"' in diffs["Secret lbt/key"]["after"]
    everything = run.everything() + api.host.ssh("journalctl --no-pager; cat /var/lib/labctl/manifest.d/*.json")
    # The play itself is the one place that has it, and ansible-runner keeps a copy of what it printed at -vvvv.
    for canary in (base64.b64encode(CANARY.encode()).decode(), f'"key": "{CANARY}'):
        assert canary not in everything
    assert (
        api("get --namespace=lbt secret key -o jsonpath={.data.key}")
        == base64.b64encode(f"another-{CANARY}".encode()).decode()
    )


def test_drift_is_seen_and_mended(api: Api) -> None:
    text = "- name: declared\n  labctl.stacks.k8s_apply:\n    role: lbt\n    OPTIONS\n    manifests: OBJECTS"
    text = text.replace("OBJECTS", declared()).replace("OPTIONS", block(api.options))
    assert api.host.run_playbook(text).rc == 0
    answer, wanted = probe_of(api)
    assert answer.strip() == wanted.strip()
    for harm in (
        "--namespace=lbt scale deployment web --replicas=3",
        "--namespace=lbt delete configmap words",
        '--namespace=lbt patch service web --type=merge -p \'{"spec":{"ports":[{"port":81}]}}\'',
        "--namespace=lbt annotate configmap words by=hand",
        '--namespace=lbt patch thing one --type=merge -p \'{"spec":{"size":2}}\'',
    ):
        api(harm)
        answer, wanted = probe_of(api)
        assert answer.strip() != wanted.strip(), harm
        run = api.host.run_playbook(text)
        assert run.rc == 0, run.stdout
        # An annotation that nobody declared is left where it is: then nothing changed but what is known.
        assert run.changed["declared"] == ("annotate" not in harm), harm
        answer, wanted = probe_of(api)
        assert answer.strip() == wanted.strip(), harm


TROUBLE = """
- name: refused
  ignore_errors: true
  labctl.stacks.k8s_apply:
    role: lbt_trouble
    OPTIONS
    manifests:
      - {apiVersion: v1, kind: Service, metadata: {name: Bad_Name, namespace: default}, spec: {ports: [{port: 80}]}}
- name: no namespace
  ignore_errors: true
  labctl.stacks.k8s_apply:
    role: lbt_trouble
    OPTIONS
    manifests: [{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: nowhere}}]
- name: no kind
  ignore_errors: true
  labctl.stacks.k8s_apply:
    role: lbt_trouble
    OPTIONS
    manifests: [{apiVersion: other.example/v1, kind: Thing, metadata: {name: a}}]
- name: never rolled out
  ignore_errors: true
  labctl.stacks.k8s_apply:
    role: lbt_trouble
    timeout: 3
    OPTIONS
    manifests:
      - apiVersion: apps/v1
        kind: Deployment
        metadata: {name: stuck, namespace: default}
        spec:
          replicas: 1
          selector: {matchLabels: {app: stuck}}
          template:
            metadata: {labels: {app: stuck}}
            spec: {serviceAccountName: nobody-there, containers: [{name: web, image: none}]}
- name: no list
  ignore_errors: true
  labctl.stacks.k8s_apply: {role: lbt_trouble, OPTIONS_FLOW, manifests: {kind: x}}
- name: gone
  labctl.stacks.k8s_apply: {role: lbt_trouble, state: absent, OPTIONS_FLOW}
"""


def test_trouble_is_told(api: Api) -> None:
    text = TROUBLE.replace("OPTIONS_FLOW", api.options).replace("OPTIONS", block(api.options))
    run = api.host.run_playbook(text)
    assert run.failed == ["refused", "no namespace", "no kind", "never rolled out", "no list"], run.stdout
    assert run.rc == 0
    assert "Service default/Bad_Name" in run["refused"]["msg"]
    assert "metadata.name" in run["refused"]["msg"]
    assert 'namespaces "nowhere" not found' in run["no namespace"]["msg"]
    assert "declare its namespace" in run["no namespace"]["hint"]
    assert "the API has no Thing of other.example/v1" in run["no kind"]["msg"]
    assert "Deployment default/stuck: 0 of 1 replicas" in run["never rolled out"]["msg"]
    assert 'serviceaccount "nobody-there" not found' in run["never rolled out"]["msg"]
    assert "not a list" in run["no list"]["msg"]
    assert "Deployment default/stuck: present -> deleted" in run["gone"]["changes"]
    assert not api.host.manifest("lbt_trouble")


def test_fewer_prunes_and_absent_leaves_nothing(api: Api) -> None:
    fewer = "- name: fewer\n  labctl.stacks.k8s_apply:\n    role: lbt\n    OPTIONS\n    manifests: OBJECTS"
    objects = "".join(declared().partition("      - {apiVersion: v1, kind: Secret")[:1])
    run = api.host.run_playbook(fewer.replace("OBJECTS", objects).replace("OPTIONS", block(api.options)))
    assert run.rc == 0, run.stdout
    assert run["fewer"]["pruned"] == ["Deployment lbt/web", "Service lbt/web", "Secret lbt/key"]
    assert api("--namespace=lbt get deployments,services,secrets -o name") == ""
    run = api.host.run_playbook(REMOVE.replace("OPTIONS", api.options))
    assert run.rc == 0, run.stdout
    assert run["predicted"]["changes"] == run["removed"]["changes"]
    assert not run["again"]["changed"]
    assert "lbt" not in api("get namespaces,customresourcedefinitions -o name")
    assert not api.host.manifest("lbt")
    assert api.host.ssh("ls -d /run/labctl-kubectl 2>/dev/null", check=False) == ""
