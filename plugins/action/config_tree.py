# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of config_tree: encode bodies, keep the manifest's digest."""

from __future__ import annotations

from typing import Any

from ansible_collections.labctl.stacks.plugins.plugin_utils.bulk import BulkAction, with_encoded_content


class ActionModule(BulkAction):
    """Action of labctl.stacks.config_tree."""

    MODULE = "config_tree"

    def prepare(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Every file's content in base64."""
        required = args.get("state", "present") == "present"
        return {**args, "files": with_encoded_content(args.get("files", []), "path", required=required)}
