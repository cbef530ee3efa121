# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: what the host modules of all providers share, and the one place they fail in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, LabError
from ..lab import load_lab
from . import provider_for
from .base import Host, Provider

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

HOST_OPTIONS: dict[str, dict[str, Any]] = {
    "lab": {"type": "path", "required": True},
    "lab_dir": {"type": "path"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def ensure(provider: Provider, state: str, check: bool) -> dict[str, Any]:
    """Bring the hosts to ``state``, or with ``check`` only say what that would change; a module's result."""
    before = provider.hosts()
    if state == "absent":
        changed = any(host.state != "absent" for host in before)
        if check:
            after = [Host(host.name, "", "absent") for host in before]
        else:
            changed = bool(provider.destroy()) or changed
            after = provider.hosts()
    else:
        changed = any(change.action in ("create", "start") for change in provider.plan())
        if check:
            after = [Host(host.name, host.address, "running") for host in before]
        else:
            provider.preflight()
            after = provider.apply()
    return {
        "changed": changed,
        "hosts": [{"name": host.name, "address": host.address, "state": host.state} for host in after],
        "diff": {"before": _states(before), "after": _states(after)},
    }


def _states(hosts: list[Host]) -> str:
    return "".join(f"{host.name}: {host.state}\n" for host in hosts)


def run_hosts(module: AnsibleModule, kind: str) -> None:
    """The body of a host module, for labs whose provider is ``kind``."""
    lab_dir = module.params["lab_dir"]
    try:
        lab = load_lab(Path(module.params["lab"]), Path(lab_dir) if lab_dir else None)
        if lab.provider.type != kind:
            raise InputError(f"{lab.spec} has provider {lab.provider.type}, this module makes hosts of {kind}")
        result = ensure(provider_for(lab), module.params["state"], module.check_mode)
    except LabError as exc:
        module.fail_json(msg="\n".join(filter(None, [exc.report, exc.hint and f"hint: {exc.hint}"])))
    if not module._diff:
        del result["diff"]
    module.exit_json(**result)
