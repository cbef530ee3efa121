# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of kubeadm_join: keep the manifest's digest."""

from __future__ import annotations

from ansible_collections.labctl.stacks.plugins.plugin_utils.bulk import BulkAction


class ActionModule(BulkAction):
    """Action of labctl.stacks.kubeadm_join."""

    MODULE = "kubeadm_join"
