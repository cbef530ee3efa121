# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: a task's options as plain data, for what travels to a host as JSON."""

from __future__ import annotations

from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError


def plain(value: Any, path: str) -> Any:
    """The same data without Ansible's own classes. InputError names the place of what JSON has no word for."""
    if isinstance(value, dict):
        return {str(key): plain(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{path}.{number}") for number, item in enumerate(value)]
    if value is None or isinstance(value, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    raise InputError(f"{path}: a {type(value).__name__} is no JSON value", hint="write it as a string")
