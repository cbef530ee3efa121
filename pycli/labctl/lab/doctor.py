# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks over this machine: is all there that labctl needs, and what mends what is not."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.labctl.stacks.plugins.module_utils.errors import PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab, load_lab

from labctl.lab import backend
from labctl.lab.topology import lab_text


@dataclass(frozen=True)
class Check:
    """One thing looked at. ``needed`` things that are not ``ok`` keep a lab from coming up."""

    name: str
    ok: bool
    detail: str = ""
    mend: str = ""
    needed: bool = True


_MODULES = {"ansible": "ansible-core", "ansible_runner": "ansible-runner", "pydantic": "pydantic", "yaml": "PyYAML"}


def examine(lab: Lab | None) -> list[Check]:
    """Everything, for this lab or for the default one of the first stack; touches nothing but a temporary folder."""
    checks = [*_python_modules(), *_programs()]
    if lab is not None:
        return checks + _provider(lab)
    with tempfile.TemporaryDirectory(prefix="labctl-doctor-") as folder:
        spec = Path(folder) / "lab.yml"
        spec.write_text(lab_text("doctor", "hadoop", "nspawn"), encoding="utf-8")
        return checks + _provider(load_lab(spec))


def _python_modules() -> list[Check]:
    return [
        Check(f"Python package {package}", found, mend="" if found else f"pip install {package}")
        for module, package in _MODULES.items()
        for found in [importlib.util.find_spec(module) is not None]
    ]


def _programs() -> list[Check]:
    from labctl.ansible.runner import scripts_dir

    playbook = scripts_dir() / "ansible-playbook"
    checks = [
        Check(
            "ansible-playbook", playbook.exists(), str(playbook), "pip install ansible-core, where labctl is installed"
        ),
        _program("ssh", "apt install openssh-client"),
    ]
    route = "used where an artefact's release archive cannot be reached"
    for name, package in (("mvn", "maven"), ("java", "default-jre-headless")):
        found = _program(name, f"apt install {package}", needed=False)
        checks.append(Check(found.name, found.ok, found.detail or route, found.mend, needed=False))
    return checks


def _program(name: str, mend: str, *, needed: bool = True) -> Check:
    path = shutil.which(name)
    return Check(f"program {name}", path is not None, path or "", "" if path else mend, needed)


def _provider(lab: Lab) -> list[Check]:
    name = f"provider {lab.provider.type}"
    try:
        backend.provider_for(lab).preflight()
    except PreflightError as exc:
        if not exc.findings:
            return [Check(name, False, str(exc), exc.hint)]
        return [Check(f.where or name, False, f.what, f.mend) for f in exc.findings]
    return [Check(name, True, "this machine can make its hosts" if lab.provider.type != "static" else "")]
