#!/usr/bin/python
# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find what a host keeps from containers and Kubernetes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_constraints
short_description: Find what a host keeps from containers and Kubernetes
version_added: 0.1.0
author: the labctl authors (@labctl)
description:
  - Looks for what a normal host gives to containerd and kubelet and this one does not, and gives it as the fact
    C(labctl_constraints), a list of names. On a normal host the list is empty.
  - V(cgroup_v1), the kernel's cgroups are of version 1; V(few_cpus), fewer than 2 processors; V(little_memory), less
    than 1700 MB; V(no_bridge_filter), bridges do not pass through iptables; V(no_sys_resource), root lacks
    CAP_SYS_RESOURCE; V(read_only_sys), C(/proc/sys) and the cgroups are read-only, as in a container; V(swap), the host
    swaps.
attributes:
  check_mode: {support: full, description: It only reads.}
  diff_mode: {support: none, description: There is nothing to compare.}
  idempotent: {support: full, description: It changes nothing.}
  facts: {support: full, description: Sets a fact.}
  action: {support: full, description: Runs on the controller too, where it keeps the list for labctl status.}
options: {}
"""

EXAMPLES = r"""
- name: Find what this host keeps from Kubernetes
  labctl.stacks.container_constraints:
"""

RETURN = r"""
ansible_facts:
  description: The fact.
  returned: success
  type: dict
  sample: {labctl_constraints: [cgroup_v1, read_only_sys]}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.labctl.stacks.plugins.module_utils.constraints import probe


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    try:
        found = probe()
    except (OSError, ValueError, IndexError) as exc:
        module.fail_json(msg=f"the host's constraints cannot be read: {exc}")
    module.exit_json(changed=False, ansible_facts={"labctl_constraints": found})


if __name__ == "__main__":
    main()
