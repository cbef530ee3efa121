# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: which folder the secrets of a task's lab are in, the same for every way in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError, LabError
from ansible_collections.labctl.stacks.plugins.module_utils.secret_folder import SecretFolder
from ansible_collections.labctl.stacks.plugins.plugin_utils.bulk import lab_folder

#: What stands for a secret in check mode while the lab has none yet. Nothing of it is ever written.
PLACEHOLDER = "(made by a run)"


def secret_folder(templar: Any, variables: Mapping[str, Any]) -> SecretFolder:
    """The folder of ``labctl_lab_dir``, else of ``.labctl`` beside the inventory; InputError without either."""
    if folder := lab_folder(templar, variables):
        return SecretFolder(folder)
    raise InputError(
        "there is no place for the secrets of this lab: the inventory is not a file",
        hint="set labctl_lab_dir to the folder that shall hold them",
    )


def words(error: LabError) -> str:
    """All that an error says, for Ansible's own errors."""
    return "\n".join(filter(None, [error.report, error.hint and f"hint: {error.hint}"]))
