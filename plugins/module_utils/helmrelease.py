# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: what helm_release does: one release of a chart, as declared, by the ordinary helm.

Runs on hosts: standard library only, Python 3.8 and newer. Helm renders, keeps the history and applies; here is decided
whether it has to, and seen to it that what it applied is at work. Its release and the cluster's objects are the truth:
nothing is compared with what an earlier call remembers but for what tells a change of an object (see kubeobjects).
"""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils import kuberollout
from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Call, Change, Outcome, command
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError, InputError
from ansible_collections.labctl.stacks.plugins.module_utils.kubeapi import KubeError
from ansible_collections.labctl.stacks.plugins.module_utils.kubeapply import CACHE, connect, section
from ansible_collections.labctl.stacks.plugins.module_utils.kubeobjects import line_of
from ansible_collections.labctl.stacks.plugins.module_utils.manifest import ABSENT

DEPLOYED, MISSING = "deployed", ""


class Helm:
    """The release that a call is about, by the programs ``helm`` and ``kubectl``."""

    def __init__(self, params: dict[str, Any], name: str, space: str) -> None:
        self.params = params
        self.name = name
        self.space = space
        self._cluster = [f"--kubeconfig={params['kubeconfig']}"]

    def run(self, *arguments: str, timeout: float = 120) -> str:
        """helm's answer. ConvergeError with its own words."""
        server = [f"--kube-apiserver={self.params['server']}"] if self.params["server"] else []
        argv = [self.params["helm"], *arguments, f"--namespace={self.space}", *self._cluster, *server]
        return command(argv, timeout=timeout, what=f"helm {arguments[0]} {self.name}")

    def status(self) -> str:
        """What helm says of the release: ``deployed``, ``failed``, ``pending-install`` ...; "" where there is none."""
        listed = json.loads(self.run("list", "--output=json", f"--filter=^{self.name}$", "--all-namespaces=false"))
        return str(listed[0]["status"]) if listed else MISSING

    def manifest(self) -> str:
        """What the release applied, as YAML."""
        return self.run("get", "manifest", self.name)

    def values(self) -> Any:
        """The values it was given."""
        return json.loads(self.run("get", "values", self.name, "--output=json")) or {}

    def upgrade(self, chart: Path, values: Path, *more: str) -> str:
        """Install it, or bring it to this chart and these values."""
        # As k8s_apply does: what somebody else changed since is ours again.
        options = ["--server-side=true", "--force-conflicts", "--history-max=5", "--reset-values", *more]
        options += ["--install", f"--values={values}"]
        return self.run("upgrade", self.name, str(chart), *options, timeout=float(self.params["timeout"]) + 60)

    def rendered(self, chart: Path, values: Path) -> str:
        """What it would apply, rendered with what this API has."""
        return str(json.loads(self.upgrade(chart, values, "--dry-run=server", "--output=json"))["manifest"])

    def objects(self, manifest: str) -> list[dict[str, Any]]:
        """The objects of a manifest as the API has them; those that are not there are left out."""
        server = [f"--server={self.params['server']}"] if self.params["server"] else []
        argv = [self.params["kubectl"], *self._cluster, *server, f"--cache-dir={CACHE}", f"--namespace={self.space}"]
        argv += ["get", "--filename=-", "--ignore-not-found", "--output=json"]
        done = subprocess.run(argv, input=manifest.encode(), capture_output=True, timeout=60, check=False)
        if done.returncode != 0:
            raise ConvergeError(f"kubectl get: {done.stderr.decode(errors='replace').strip()[-1500:]}")
        if not done.stdout.strip():
            return []
        answer = json.loads(done.stdout)
        return list(answer["items"]) if answer.get("kind") == "List" else [answer]


@contextmanager
def _laid_out(params: dict[str, Any]) -> Iterator[tuple[Path, Path]]:
    """The chart's folder and the file of values, in a folder that only root reads and that is gone after."""
    with tempfile.TemporaryDirectory(prefix="labctl-helm-") as name:
        folder = Path(name)
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(params["chart_b64"]))) as packed:
            for member in packed.getmembers():
                path = folder / "chart" / member.name
                if not member.isfile() or folder / "chart" not in Path(os.path.normpath(path)).parents:
                    raise InputError(f"chart: {member.name!r} is no plain file of it", hint="leave links out")
                path.parent.mkdir(parents=True, exist_ok=True)
                stream = packed.extractfile(member)
                path.write_bytes(stream.read() if stream else b"")
        values = folder / "values.json"
        values.write_bytes(base64.b64decode(params["values_b64"] or "e30="))
        yield folder / "chart", values


def release_of(section_of: dict[str, Any] | None) -> tuple[str, str, str]:
    """Name and namespace of the release that a section recorded, and the lines that told its objects then."""
    for probe in (section_of or {}).get("probes", []):
        return str(probe["release"]["name"]), str(probe["release"]["namespace"]), str(probe["answer"])
    return "", "", ""


def present(call: Call) -> Outcome:
    """``state=present``. ConvergeError with helm's words, or with what keeps pods from being ready."""
    params = call.params
    for option in ("name", "namespace"):
        if not params[option]:
            raise InputError(f"{option} is missing", hint="a release has a name and a namespace")
    helm = Helm(params, params["name"], params["namespace"])
    before, outcome = release_of(call.manifest.section(call.key)), Outcome(values={"status": ""})
    if before[0] and before[:2] != (helm.name, helm.space):
        outcome.add(_uninstalled(call, Helm(params, *before[:2])))
    if call.check and not Path(params["kubeconfig"]).exists():
        outcome.changes.append(Change(f"release {helm.name}", ABSENT, "installed"))
        return outcome
    with _laid_out(params) as (chart, values):
        status = helm.status()
        if status == DEPLOYED:
            _compare(helm, chart, values, before[2], outcome)
        else:
            outcome.changes.append(Change(f"release {helm.name}", status or ABSENT, "installed"))
        if call.check:
            return outcome
        if any(change.what == f"release {helm.name}" for change in outcome.changes):
            if status.startswith("pending") or status == "uninstalling":
                # A run that was killed left it so, and helm would refuse to go on.
                helm.run("uninstall", helm.name, "--ignore-not-found", "--wait", "--timeout=120s", timeout=150)
            helm.upgrade(chart, values)
    objects = helm.objects(helm.manifest())
    call.record_later(_section(helm, objects))
    outcome.values["status"] = DEPLOYED
    if params["wait"]:
        _wait(params, objects)
    return outcome


def _compare(helm: Helm, chart: Path, values: Path, answer: str, outcome: Outcome) -> None:
    """Add what an upgrade of a deployed release would change: its manifest, its values, or objects since edited."""
    old, new = helm.manifest(), helm.rendered(chart, values)
    header, what = f"release {helm.name}", []
    if old.strip() != new.strip():
        what.append("other objects")
        outcome.diff.append({"before_header": header, "after_header": header, "before": old, "after": new})
    if helm.values() != json.loads(values.read_text(encoding="utf-8")):
        what.append("other values")
    if answer and answer.strip() != _lines(helm.objects(old)).strip():
        what.append("objects that were changed since")
    if what:
        outcome.changes.append(Change(header, DEPLOYED, f"upgraded for {', '.join(what)}"))


def _lines(objects: list[dict[str, Any]]) -> str:
    return "".join(f"{line_of(item)}\n" for item in objects)


def _section(helm: Helm, objects: list[dict[str, Any]]) -> dict[str, Any]:
    made = section(objects, _lines(objects), helm.params)
    for probe in made.get("probes", []):
        probe["name"] = f"objects of the release {helm.name}"
        probe["release"] = {"name": helm.name, "namespace": helm.space}
        probe["answer"] = _lines(objects)
    return made


def _wait(params: dict[str, Any], objects: list[dict[str, Any]]) -> None:
    seconds = float(params["timeout"])
    try:
        wrong = kuberollout.wait(connect(params), objects, seconds)
    except KubeError as exc:
        raise ConvergeError(str(exc), hint="see whether the API server is well") from exc
    if wrong:
        raise ConvergeError(
            "\n".join([f"not rolled out after {seconds:.0f} s", *(f"  {line}" for line in wrong)]),
            hint="mend what keeps the pods from being ready; the same command again goes on from there",
        )


def _uninstalled(call: Call, helm: Helm) -> Outcome:
    outcome = Outcome()
    if not Path(call.params["kubeconfig"]).exists():
        return outcome
    status = helm.status()
    if status == MISSING:
        return outcome
    outcome.changes.append(Change(f"release {helm.name}", status, "uninstalled"))
    if not call.check:
        seconds = int(call.params["timeout"])
        helm.run("uninstall", helm.name, "--wait", f"--timeout={seconds}s", timeout=seconds + 60)
    return outcome


def absent(call: Call) -> Outcome:
    """``state=absent``: uninstall the release that this section recorded, and forget it."""
    name, space, _ = release_of(call.manifest.section(call.key))
    outcome = _uninstalled(call, Helm(call.params, name, space)) if name else Outcome()
    call.record_later(None)
    return outcome
