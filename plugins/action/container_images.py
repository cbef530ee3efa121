# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of container_images: keep the manifest's digest."""

from __future__ import annotations

from ansible_collections.labctl.stacks.plugins.plugin_utils.bulk import BulkAction


class ActionModule(BulkAction):
    """Action of labctl.stacks.container_images."""

    MODULE = "container_images"
