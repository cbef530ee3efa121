# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of container_constraints: keep what was found in the lab folder, for `labctl status`."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.labctl.stacks.plugins.plugin_utils.bulk import host_folder, lab_folder, store_line


class ActionModule(ActionBase):  # type: ignore[misc]
    """Action of labctl.stacks.container_constraints."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module, and keep the names it found; outside a lab nothing is kept."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        result.update(self._execute_module(module_args={}, task_vars=variables))
        folder = lab_folder(self._templar, variables) if variables.get("labctl_lab_dir") else None
        if folder and not result.get("failed") and not self._task.check_mode:
            host = str(self._task.delegate_to or variables["inventory_hostname"])
            found = result.get("ansible_facts", {}).get("labctl_constraints", [])
            store_line(host_folder(folder, host) / "constraints", " ".join(found))
        return result
