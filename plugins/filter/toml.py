# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: toml
short_description: Render a dictionary as TOML
version_added: 0.1.0
author: the labctl authors (@labctl)
description:
  - Turns a dictionary into a TOML document with its keys sorted, so that equal settings give equal bytes. A key whose
    value is null is left out, as TOML has no null.
requirements:
  - tomli-w on the controller
positional: _input
options:
  _input:
    description: The settings.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show a file of containerd's
  ansible.builtin.debug:
    msg: "{{ {'version': 3, 'plugins': {'images': {'snapshotter': 'overlayfs'}}} | labctl.stacks.toml }}"
"""

RETURN = r"""
_value:
  description: The document, ending in a newline.
  type: str
"""

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError


def _plain(name: str, value: Any) -> Any:
    """The value in types that TOML knows; Ansible's own are subclasses with tags."""
    if isinstance(value, Mapping):
        return {str(key): _plain(str(key), value[key]) for key in sorted(value, key=str) if value[key] is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(name, item) for item in value]
    if isinstance(value, bool):
        return bool(value)
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    raise AnsibleFilterError(f"toml: the value of {name!r} is of type {type(value).__name__}, which TOML does not have")


def toml(value: Any) -> str:
    """A dictionary as a TOML document. AnsibleFilterError for anything that TOML cannot hold."""
    if not isinstance(value, Mapping):
        raise AnsibleFilterError(f"toml: expected a dictionary, got {type(value).__name__}")
    try:
        import tomli_w
    except ImportError as exc:
        raise AnsibleFilterError(
            "toml needs the Python package tomli-w on the controller: pip install tomli-w"
        ) from exc
    return tomli_w.dumps(_plain("", value))


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Any]:
        return {"toml": toml}
