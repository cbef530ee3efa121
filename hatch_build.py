# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the collection into the wheel, where Ansible finds it: site-packages/ansible_collections/labctl/stacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COLLECTION = (
    "galaxy.yml",
    "README.md",
    "LICENSE",
    "meta",
    "roles",
    "playbooks",
    "plugins",
    "artifacts",
    "charts",
    "inventories",
)


class CollectionHook(BuildHookInterface):  # type: ignore[type-arg]
    """An editable install reaches the collection through the committed .dev link instead, so it is left out there."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        target = Path("ansible_collections/labctl/stacks")
        for name in COLLECTION:
            build_data["force_include"][str(Path(self.root) / name)] = str(target / name)
