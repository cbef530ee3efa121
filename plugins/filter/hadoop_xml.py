# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: hadoop_xml
short_description: Render a dictionary as a Hadoop configuration file
version_added: 0.1.0
author: the labctl authors (@labctl)
description:
  - Turns a dictionary of properties into the XML that Hadoop's C(*-site.xml) files hold, with every name and value
    escaped and the properties sorted by name, so that equal settings give equal bytes.
  - Booleans become V(true) and V(false), lists are joined by commas, and a property whose value is null is left out,
    which is how a setting is taken back to Hadoop's own default.
positional: _input
options:
  _input:
    description: The properties.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show a core-site.xml
  ansible.builtin.debug:
    msg: "{{ {'fs.defaultFS': 'hdfs://head:8020', 'io.file.buffer.size': 65536} | labctl.stacks.hadoop_xml }}"
"""

RETURN = r"""
_value:
  description: The file's text, ending in a newline.
  type: str
"""

import re
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from ansible.errors import AnsibleFilterError

# Characters no XML 1.0 document can hold, escaped or not: https://www.w3.org/TR/xml/#charsets
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(_text(name, item) for item in value)
    if isinstance(value, (str, int, float)):
        text = str(value)
        if _NOT_XML.search(text):
            raise AnsibleFilterError(f"hadoop_xml: the value of {name!r} holds a character that XML cannot carry")
        return text
    raise AnsibleFilterError(
        f"hadoop_xml: the value of {name!r} is of type {type(value).__name__}; use a string, number, boolean or list"
    )


def hadoop_xml(properties: Mapping[str, Any]) -> str:
    """Render ``properties`` as a Hadoop configuration file; AnsibleFilterError for what cannot be one."""
    if not isinstance(properties, Mapping):
        raise AnsibleFilterError(f"hadoop_xml: expected a dictionary of properties, got {type(properties).__name__}")
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        "<!-- Managed by Ansible (labctl.stacks). -->",
        "<configuration>",
    ]
    for name in sorted(properties):
        value = properties[name]
        if value is None:
            continue
        lines.append(
            f"  <property><name>{escape(_text('a property name', name))}</name>"
            f"<value>{escape(_text(name, value))}</value></property>"
        )
    lines.append("</configuration>")
    return "\n".join(lines) + "\n"


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict[str, Any]:
        return {"hadoop_xml": hadoop_xml}
