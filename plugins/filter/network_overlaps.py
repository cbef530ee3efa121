# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: network_overlaps
short_description: Say which networks overlap, or hold an address that they must not
version_added: 0.1.0
author: the labctl authors (@labctl)
description:
  - Compares networks with each other and with addresses of hosts, and gives a sentence for each pair that is in the way
    of another. The list is empty when all is well. Names of hosts among the addresses are left out.
positional: _input, addresses
options:
  _input:
    description: Networks by what they are for, such as pods and Services.
    type: dict
    required: true
  addresses:
    description: Addresses that none of them may hold.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Show what is wrong with two networks
  ansible.builtin.debug:
    msg: "{{ {'pods': '10.0.0.0/8', 'services': '10.96.0.0/12'} | labctl.stacks.network_overlaps(['10.1.2.3']) }}"
"""

RETURN = r"""
_value:
  description: A sentence for each overlap.
  type: list
  elements: str
"""

import ipaddress
from itertools import combinations
from typing import Any

from ansible.errors import AnsibleFilterError


def network_overlaps(value: dict[str, str], addresses: list[str] | None = None) -> list[str]:
    """Sentences; AnsibleFilterError for what is no network."""
    networks = {}
    for name, text in value.items():
        try:
            networks[str(name)] = ipaddress.ip_network(str(text))
        except ValueError as exc:
            raise AnsibleFilterError(f"network_overlaps: {name}: {exc}") from exc
    found = [
        f"{first} {networks[first]} overlaps {second} {networks[second]}"
        for first, second in combinations(networks, 2)
        if networks[first].version == networks[second].version and networks[first].overlaps(networks[second])
    ]
    for text in addresses or []:
        try:
            address = ipaddress.ip_address(str(text))
        except ValueError:
            continue
        found += [
            f"{name} {network} holds the host {address}" for name, network in networks.items() if address in network
        ]
    return found


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Any]:
        return {"network_overlaps": network_overlaps}
