# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: what k8s_apply does: objects applied, those of before pruned, all of it recorded.

Runs on hosts: standard library only, Python 3.8 and newer.

A section of the manifest is one probe: a call of kubectl whose answer has a line per object (see ``line_of``). It keeps
the references to the objects too, in the order they were applied in. It is written before the first object is, without
an answer, so that what a killed run left is known, is seen as drift, and can be pruned.
"""

from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils import kuberollout
from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Call, Change, Outcome
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError, InputError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.kubeapi import KubeApi, KubeError
from ansible_collections.labctl.stacks.plugins.module_utils.kubeobjects import (
    TEMPLATE,
    Ident,
    bare,
    check_objects,
    differences,
    ident_of,
    line_of,
    named,
    owned,
    reference,
    secrets_of,
    texts,
)
from ansible_collections.labctl.stacks.plugins.module_utils.manifest import ABSENT, Manifest

#: Where kubectl keeps what kinds the API has, so that a probe need not ask each time; gone after a boot.
CACHE = "/run/labctl-kubectl"
#: Seconds to wait for an API server that is being restarted, and for the kinds of a definition just applied.
PATIENCE = 30.0
PROBE = "Kubernetes objects"


class Applier:
    """One call: the API, whether only to look, and what is known of all that the call declares.

    ``clock`` and ``sleep`` are for tests.
    """

    def __init__(
        self,
        api: KubeApi,
        items: list[dict[str, Any]],
        *,
        check: bool,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.api = api
        self.items = items
        self.check = check
        self.clock = clock
        self.sleep = sleep
        self.outcome = Outcome(values={"applied": [], "pruned": []})
        self.lines: list[str] = []
        self._spaces = {item["metadata"]["name"] for item in items if item["kind"] == "Namespace"}
        defined = [item.get("spec") or {} for item in items if item["kind"] == "CustomResourceDefinition"]
        self._kinds = {(spec.get("group"), (spec.get("names") or {}).get("kind")) for spec in defined}

    def apply_all(self) -> None:
        """Apply the objects in their order. ConvergeError names the one that was refused, and why."""
        for item in self.items:
            ident = ident_of(item)
            try:
                before, after = self._apply(item)
            except KubeError as exc:
                raise ConvergeError(f"{ident}: {_without(secrets_of(item), str(exc))}", hint=_mend(exc)) from exc
            self.outcome.values["applied"].append(str(ident))
            self.lines.append("" if self.check else line_of(after))
            self._tell(ident, before, after)

    def _apply(self, item: dict[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """The object as it was, and as it is then; in check mode, as it would be."""
        before = self.live(item)
        try:
            after = self.patiently(lambda: self.api.apply(item, dry_run=self.check), self._comes_soon(item))
        except KubeError as exc:
            if self.check and before is None and exc.status == 404 and self._comes(item):
                return None, item
            if before is None or exc.status != 422:
                raise
            after = self._without_others(item, exc)
        return before, after

    def _without_others(self, item: dict[str, Any], refused: KubeError) -> dict[str, Any]:
        """Take away what somebody else added to a list, where it goes badly with ours: such as a port without a name.

        Raises what was refused at first where that does not help.
        """
        try:
            merged = self.patiently(lambda: self.api.merge(item, dry_run=self.check))
            return dict(merged) if self.check else dict(self.patiently(lambda: self.api.apply(item)))
        except KubeError:
            raise refused from None

    def live(self, item: dict[str, Any]) -> dict[str, Any] | None:
        """The object as the API has it, None where there is none, nor its kind."""

        def get() -> dict[str, Any] | None:
            try:
                found = self.api.get(self.api.path_of(item))
            except KubeError as exc:
                if exc.reason == "NoKind":
                    return None
                raise
            return None if found is None else dict(found)

        return self.patiently(get)

    def _comes(self, item: dict[str, Any]) -> bool:
        """Whether what the object needs is declared by this very call, so that a run would find it."""
        return item["metadata"].get("namespace") in self._spaces or self._comes_soon(item)

    def _comes_soon(self, item: dict[str, Any]) -> bool:
        """Whether its kind is declared by this call: the server takes a moment to serve it."""
        return (ident_of(item).group, item["kind"]) in self._kinds

    def patiently(self, step: Callable[[], Any], kind_comes: bool = False) -> Any:
        """Try again while the server is restarting, or does not know a kind yet that ``kind_comes``."""
        deadline = self.clock() + PATIENCE
        while True:
            try:
                return step()
            except KubeError as exc:
                passing = exc.passing or (kind_comes and not self.check and exc.status == 404)
                if not passing or self.clock() >= deadline:
                    raise
                self.sleep(0.3)

    def _tell(self, ident: Ident, before: dict[str, Any] | None, after: dict[str, Any]) -> None:
        if before is None:
            self.outcome.changes.append(Change(str(ident), ABSENT, "created"))
        else:
            paths = list(differences(bare(before), bare(after)))
            if not paths:
                return
            self.outcome.changes.append(Change(str(ident), f"differs in {named(paths)}", "applied"))
        was, now = texts(before, after)
        header = str(ident)
        self.outcome.diff.append({"before_header": header, "after_header": header, "before": was, "after": now})

    def prune(self, gone: list[dict[str, Any]], seconds: float) -> None:
        """Delete objects, the last applied first, and wait until they are gone; those that are not there are no change.

        ``seconds`` is the longest wait; ConvergeError names what is still there then.
        """
        waiting = []
        for item in reversed(gone):
            ident = ident_of(item)
            try:
                before = self.live(item)
                if before is None:
                    continue
                if not self.check:
                    path = self.api.path_of(item)
                    self.patiently(lambda path=path: self.api.delete(path))  # type: ignore[misc]
                    waiting.append(item)
            except KubeError as exc:
                raise ConvergeError(f"{ident}: {exc}", hint=_mend(exc)) from exc
            self.outcome.changes.append(Change(str(ident), "present", "deleted"))
            self.outcome.values["pruned"].append(str(ident))
            was, _ = texts(before, None)
            header = str(ident)
            self.outcome.diff.append({"before_header": header, "after_header": header, "before": was, "after": ""})
        if seconds > 0:
            self._wait_until_gone(waiting, seconds)

    def _wait_until_gone(self, waiting: list[dict[str, Any]], seconds: float) -> None:
        deadline = self.clock() + seconds
        while waiting:
            left = [(item, self.live(item)) for item in waiting]
            waiting = [item for item, now in left if now is not None]
            if waiting and self.clock() >= deadline:
                finalizers = [one for _, now in left if now for one in now["metadata"].get("finalizers") or []]
                spaces = [
                    str(kuberollout.condition(now, kind).get("message", ""))
                    for _, now in left
                    if now
                    for kind in ("NamespaceContentRemaining", "NamespaceFinalizersRemaining")
                ]
                why = "; ".join([*filter(None, spaces), *(f"finalizer {one}" for one in sorted(set(finalizers)))])
                names = ", ".join(str(ident_of(item)) for item in waiting)
                raise ConvergeError(
                    f"still being deleted after {seconds:.0f} s: {names}{f' ({why})' if why else ''}",
                    hint="give it more time by timeout, or see what keeps it with kubectl describe",
                )
            if waiting:
                self.sleep(0.2)


def _without(values: list[str], text: str) -> str:
    """A message without the values of a Secret."""
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "(secret)")
    return text


def _mend(exc: KubeError) -> str:
    """What to do about an error of the API."""
    if exc.status == 404 and exc.reason != "NoKind":
        return "declare its namespace before it"
    if exc.status == 422 and "immutable" in str(exc):
        return "what is immutable changes only with a new object: delete this one with kubectl, and run it again"
    words = {
        403: "the user of the kubeconfig file may not do this",
        404: "declare the CustomResourceDefinition of this kind before it, or mend apiVersion and kind",
        422: "mend the object; the API server says which field",
        400: "mend the object; the API server says which field",
        409: "another holds the field; see who with kubectl get --show-managed-fields",
    }
    if exc.status is None or exc.passing:
        return "see whether the API server runs: its log is in /var/log/containers on the masters"
    return words.get(exc.status, "see the API server's words")


def section(items: list[dict[str, Any]], answer: str, params: dict[str, Any]) -> dict[str, Any]:
    """A section of the manifest: the probe, with references to the objects. ``answer`` is what kubectl shall say.

    With ``watch`` off in ``params`` the probe looks at nothing: the objects are known, and may change.
    """
    if not items:
        return {}
    references = [reference(item) for item in items]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": references}, separators=(",", ":"))
    options = [f"--kubeconfig={params['kubeconfig']}", f"--cache-dir={CACHE}", "--request-timeout=8s"]
    if params["server"]:
        options.append(f"--server={params['server']}")
    script = 'printf %s "$1" | { shift; exec "$@"; }'
    get = [params["kubectl"], *options, "get", "--ignore-not-found", "--filename=-", f"--output=go-template={TEMPLATE}"]
    probe = {"argv": ["/bin/sh", "-c", script, "sh", listed, *get], "stdout": answer, "timeout": 10}
    if not params["watch"]:
        probe = {"argv": ["true"]}
    return {"probes": [{"name": PROBE, **probe, "objects": references}]}


def recorded(section_of: dict[str, Any] | None) -> list[dict[str, Any]]:
    """References to the objects of a section, in the order they were applied in."""
    return [one for probe in (section_of or {}).get("probes", []) for one in probe.get("objects", [])]


def _others(call: Call) -> set[Ident]:
    """The objects that other calls on this host declare, which therefore stay. As of now: parts are undone in turn."""
    now = Manifest.load(call.manifest.role, call.manifest.root)
    return {
        ident_of(item)
        for role, key, content in now.everything()
        if key.startswith("k8s_apply/") and (role, key) != (call.manifest.role, call.key)
        for item in recorded(content)
    }


def connect(params: dict[str, Any]) -> KubeApi:
    """The API as the user of the kubeconfig file. PreflightError where there is no such file, or none that is whole."""
    try:
        return KubeApi(params["kubeconfig"], params["server"])
    except KubeError as exc:
        raise PreflightError(str(exc), hint="run it on a master, once kubeadm_init or kubeadm_join has run") from exc


def present(call: Call) -> Outcome:
    """``state=present``: apply, prune, record, wait. ConvergeError where the API refuses, or time is up."""
    items = [
        owned(item) for item in check_objects(json.loads(base64.b64decode(call.params["manifests_b64"] or "W10=")))
    ]
    if len(json.dumps([reference(item) for item in items])) > 100_000:
        raise InputError("manifests has more objects than one call can watch", hint="make it several, with parts")
    before = recorded(call.manifest.section(call.key))
    declared = {ident_of(item) for item in items}
    gone = [item for item in before if ident_of(item) not in declared | _others(call)]
    if call.check and not Path(call.params["kubeconfig"]).exists():
        outcome = Outcome(values={"applied": [str(ident_of(item)) for item in items], "pruned": []})
        outcome.changes = [Change(str(ident_of(item)), ABSENT, "created") for item in items]
        outcome.warnings.append(f"{call.params['kubeconfig']} is not there yet: everything is taken as new")
        return outcome
    applier = Applier(connect(call.params), items, check=call.check)
    intended = [*gone, *items]
    if [reference(item) for item in intended] != before:
        call.record_later(section(intended, "not finished", call.params))
    applier.apply_all()
    seconds = float(call.params["timeout"]) if call.params["wait"] else 0.0
    applier.prune(gone, seconds)
    call.record_later(section(items, "".join(f"{line}\n" for line in applier.lines), call.params))
    if call.params["wait"] and not call.check:
        _wait(applier, items, seconds)
    return applier.outcome


def _wait(applier: Applier, items: list[dict[str, Any]], seconds: float) -> None:
    begun = time.monotonic()
    try:
        wrong = kuberollout.wait(applier.api, items, seconds)
    except KubeError as exc:
        raise ConvergeError(str(exc), hint=_mend(exc)) from exc
    applier.outcome.values["waited"] = round(time.monotonic() - begun, 1)
    if wrong:
        raise ConvergeError(
            "\n".join([f"not rolled out after {seconds:.0f} s", *(f"  {line}" for line in wrong)]),
            hint="mend what keeps the pods from being ready; the same command again goes on from there",
        )


def absent(call: Call) -> Outcome:
    """``state=absent``: delete what was applied, unless another call declares it too, and forget it.

    Where the cluster is gone, or does not answer, there is nothing left to delete on this host: it is forgotten, with a
    warning in the second case, so that a broken cluster can be removed.
    """
    items = recorded(call.manifest.section(call.key))
    others = _others(call)
    gone = [item for item in items if ident_of(item) not in others]
    outcome = Outcome(values={"applied": [], "pruned": []})
    if gone and Path(call.params["kubeconfig"]).exists():
        api = connect(call.params)
        applier = Applier(api, [], check=call.check)
        if wrong := _unreachable(applier):
            outcome.warnings.append(f"the API does not answer ({wrong}); what was applied is forgotten, not deleted")
        else:
            applier.prune(gone, float(call.params["timeout"]) if call.params["wait"] else 0.0)
            outcome = applier.outcome
    if items and not outcome.changes:
        outcome.changes.append(Change(f"{len(items)} Kubernetes objects", "recorded", "forgotten"))
    call.record_later(None)
    if not call.check:
        shutil.rmtree(CACHE, ignore_errors=True)
    return outcome


def _unreachable(applier: Applier) -> str:
    try:
        applier.patiently(lambda: applier.api.call("GET", "/version"))
    except KubeError as exc:
        return str(exc)
    return ""
