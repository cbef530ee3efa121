# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serve the systemd-nspawn hosts of a lab."""

from __future__ import annotations

DOCUMENTATION = r"""
name: nspawn
short_description: The systemd-nspawn hosts of a lab on this machine
version_added: 0.1.0
description:
  - Serves groups, variables and hosts of a lab file, whether or not its hosts exist yet. Before they are made, by
    M(labctl.stacks.nspawn_hosts) or by C(labctl up), they have no C(ansible_host).
  - Needs no privileges. Strings of the lab file are never evaluated as templates.
  - The name of the inventory file ends in C(nspawn.yml) or C(nspawn.yaml).
  - Each host has the variables C(ansible_host), C(ansible_user), C(ansible_ssh_private_key_file), C(ansible_ssh_args),
    C(ansible_python_interpreter), C(lab_name), C(lab_id), C(lab_provider), C(lab_site), C(lab_role), C(lab_address),
    C(lab_controller_addresses), C(labctl_lab_dir), C(labctl_lab_file) and C(labctl_store), and its own C(vars).
extends_documentation_fragment:
  - labctl.stacks.lab_inventory
  - ansible.builtin.constructed
options:
  plugin:
    description: Says that the file belongs to this plugin.
    type: str
    required: true
    choices: [labctl.stacks.nspawn]
"""

EXAMPLES = r"""
# nspawn.yml beside lab.yml
plugin: labctl.stacks.nspawn

---
# A lab file somewhere else, and a group per first group of a host
plugin: labctl.stacks.nspawn
lab: ../labs/demo/lab.yml
lab_dir: ../labs/demo/.labctl
keyed_groups:
  - key: lab_role
    prefix: role
compose:
  site_label: lab_provider ~ "-" ~ lab_site
"""

from ansible_collections.labctl.stacks.plugins.plugin_utils.lab_inventory import LabInventory


class InventoryModule(LabInventory):
    """The inventory plugin labctl.stacks.nspawn."""

    NAME = "labctl.stacks.nspawn"
    PROVIDER = "nspawn"
