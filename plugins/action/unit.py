# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of unit: encode unit texts, keep the manifest's digest."""

from __future__ import annotations

from typing import Any

from ansible_collections.labctl.stacks.plugins.plugin_utils.bulk import BulkAction, with_encoded_content


class ActionModule(BulkAction):
    """Action of labctl.stacks.unit."""

    MODULE = "unit"

    def prepare(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Every unit's content in base64, where it has one."""
        return {**args, "units": with_encoded_content(args.get("units", []), "name", required=False)}
