#!/usr/bin/python
# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make or remove the systemd-nspawn hosts of a lab."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nspawn_hosts
short_description: Make or remove the systemd-nspawn hosts of a lab
version_added: 0.1.0
description:
  - Makes the hosts that a lab file describes on the machine it runs on, side by side, and waits until their ssh
    answers. Their base image is built when it is first needed and kept in the user's cache.
  - It has to run on the controller, as root, so mostly with C(delegate_to=localhost) and C(run_once=true). Follow it
    by C(meta=refresh_inventory), as only then the hosts' addresses are known.
  - Such hosts are systemd machines with a network of their own. They share the machine's kernel and are no security
    boundary.
extends_documentation_fragment: labctl.stacks.lab_hosts
notes:
  - Programs that are missing, too little memory or disk, or a subnet that is in use are all named at once, each with
    its mend, before anything is touched.
seealso:
  - plugin: labctl.stacks.nspawn
    plugin_type: inventory
"""

EXAMPLES = r"""
- name: Make the hosts of the lab this inventory serves
  labctl.stacks.nspawn_hosts:
    lab: "{{ labctl_lab_file }}"
    lab_dir: "{{ labctl_lab_dir }}"
  delegate_to: localhost
  run_once: true

- name: Learn their addresses
  ansible.builtin.meta: refresh_inventory

- name: Remove them
  labctl.stacks.nspawn_hosts:
    lab: lab.yml
    state: absent
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
hosts:
  description: The lab's hosts after the run, or as they would be after it in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The host's name.
      type: str
      returned: always
      sample: worker1
    address:
      description: Its address, empty as long as it has none.
      type: str
      returned: always
      sample: 10.213.7.3
    state:
      description: V(running), V(stopped) or V(absent).
      type: str
      returned: always
      sample: running
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.labctl.stacks.plugins.module_utils.providers.module import HOST_OPTIONS, run_hosts


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=HOST_OPTIONS, supports_check_mode=True)
    run_hosts(module, "nspawn")


if __name__ == "__main__":
    main()
