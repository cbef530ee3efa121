# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as Ansible sees it, in the form of ``ansible-inventory --list``, without Ansible."""

from __future__ import annotations

from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab

from labctl.lab import backend


def inventory(lab: Lab) -> dict[str, Any]:
    """Groups with their hosts, and the variables of each host; the lab's own variables are those of group all."""
    found = backend.provider_for(lab).hosts()
    groups = lab.groups()
    grouped = {name for names in groups.values() for name in names}
    ungrouped = [host.name for host in lab.hosts if host.name not in grouped]
    result: dict[str, Any] = {
        "_meta": {"hostvars": {host.name: dict(host.variables) for host in found}},
        "all": {"children": ["ungrouped", *groups], "vars": dict(lab.vars)},
    }
    if ungrouped:
        result["ungrouped"] = {"hosts": ungrouped}
    return result | {group: {"hosts": names} for group, names in groups.items()}
