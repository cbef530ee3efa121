# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of k8s_apply: encode the objects, so that no log has them, and keep the manifest's digest."""

from __future__ import annotations

import base64
import json
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError
from ansible_collections.labctl.stacks.plugins.plugin_utils.bulk import BulkAction
from ansible_collections.labctl.stacks.plugins.plugin_utils.plain import plain


class ActionModule(BulkAction):
    """Action of labctl.stacks.k8s_apply."""

    MODULE = "k8s_apply"

    def prepare(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """``manifests`` becomes ``manifests_b64``, which the module never logs."""
        manifests = args.pop("manifests", None)
        if args.get("state") == "absent":
            return args
        if not isinstance(manifests, list):
            # Nothing given is no empty list: that would delete all that was applied.
            raise InputError("manifests is not a list of objects", hint="give a list, such as from_yaml_all makes")
        # A document of comments only in a file of many is no object.
        listed = [item for item in manifests if item is not None]
        args["manifests_b64"] = base64.b64encode(json.dumps(plain(listed, "manifests")).encode()).decode()
        return args
