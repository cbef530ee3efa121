# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serve the hosts of a lab that exist already."""

from __future__ import annotations

DOCUMENTATION = r"""
name: static
short_description: The hosts of a lab that exist already
version_added: 0.1.0
description:
  - Serves groups, variables and hosts of a lab file whose provider is V(static), in which each host has an address.
  - Strings of the lab file are never evaluated as templates.
  - The name of the inventory file ends in C(static.yml) or C(static.yaml). A plain YAML inventory may have that name,
    too, as only a file that names this plugin is taken for one of its own.
  - Each host has the variables C(ansible_host), C(ansible_user), C(ansible_python_interpreter), C(lab_name), C(lab_id),
    C(lab_provider), C(lab_site), C(lab_role), C(lab_address), C(lab_controller_addresses), C(labctl_lab_dir) and
    C(labctl_lab_file), and its own C(vars), which may set the way in, such as C(ansible_user).
extends_documentation_fragment:
  - labctl.stacks.lab_inventory
  - ansible.builtin.constructed
options:
  plugin:
    description: Says that the file belongs to this plugin.
    type: str
    required: true
    choices: [labctl.stacks.static]
"""

EXAMPLES = r"""
# static.yml beside lab.yml
plugin: labctl.stacks.static
"""

from ansible_collections.labctl.stacks.plugins.plugin_utils.lab_inventory import LabInventory


class InventoryModule(LabInventory):
    """The inventory plugin labctl.stacks.static."""

    NAME = "labctl.stacks.static"
    PROVIDER = "static"
