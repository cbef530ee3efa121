#!/usr/bin/python
# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a host a node or a further master of a Kubernetes cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeadm_join
short_description: Make a host a node or a further master of a Kubernetes cluster
version_added: 0.1.0
description:
  - Runs C(kubeadm join) on a host that is no member of the cluster, with the pin of the cluster's authority. Whether it
    is one is asked of the API with the host's own certificate.
  - Without O(token) it only says whether the host is a member.
  - A join that died in the middle, and a node that was removed from the cluster, are cleared away and joined anew. A
    host that holds the files of a cluster labctl knows nothing of is refused.
  - With O(state=absent) takes the cluster off the host, with its files, links and rules of the firewall.
  - What is secret is written to a file in memory that only root can read, for as long as kubeadm runs.
extends_documentation_fragment: labctl.stacks.bulk
options:
  endpoint:
    description: Name or address and port of the cluster's API, as all nodes know it. Required with O(state=present).
    type: str
  node_name:
    description: Name of this host in the cluster. Required with O(state=present).
    type: str
  node_address:
    description: Address of this host that others reach it at.
    type: str
    default: ""
  token:
    description: Bootstrap token that M(labctl.stacks.kubeadm_admit) made known to the cluster.
    type: str
    default: ""
  authority:
    description: Pin of the cluster's authority, RV(labctl.stacks.kubeadm_admit#module:authority).
    type: str
    default: ""
  certificate_key:
    description: Key that the cluster's keys are locked with. Given, the host becomes a master; otherwise a node.
    type: str
    default: ""
  taints:
    description: Taints the node registers with, each with key, value and effect. Without it, kubeadm's own.
    type: list
    elements: dict
  ignore_preflight_errors:
    description: Names of kubeadm's preflight checks whose errors are only warnings.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds that joining may take.
    type: float
    default: 300
seealso:
  - module: labctl.stacks.kubeadm_admit
  - module: labctl.stacks.kubeadm_init
"""

EXAMPLES = r"""
- name: Join the cluster
  labctl.stacks.kubeadm_join:
    role: k8s_node
    endpoint: kubernetes-api:7443
    node_name: "{{ inventory_hostname }}"
    node_address: "{{ lab_address }}"
    token: "{{ my_token }}"
    authority: "{{ my_door.authority }}"
"""

RETURN = r"""
member:
  description: Whether the host is a member of the cluster now.
  returned: with state=present
  type: bool
  sample: true
begun:
  description: Whether an earlier run began to make it one.
  returned: with state=present
  type: bool
  sample: true
manifest:
  description: The role's manifest on the host, with an empty sha256 where there is none.
  returned: always
  type: dict
  sample: {role: k8s_master, sha256: 5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592}
changes:
  description: Every change in a line.
  returned: always
  type: list
  elements: str
  sample: ["cluster: absent -> formed"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.labctl.stacks.plugins.module_utils.bulk import BULK_OPTIONS, run_bulk
from ansible_collections.labctl.stacks.plugins.module_utils.kubeadm_join import absent, join

OPTIONS = {
    "endpoint": {"type": "str"},
    "node_name": {"type": "str"},
    "node_address": {"type": "str", "default": ""},
    "token": {"type": "str", "default": "", "no_log": True},
    "authority": {"type": "str", "default": ""},
    "certificate_key": {"type": "str", "default": "", "no_log": True},
    "taints": {"type": "list", "elements": "dict"},
    "ignore_preflight_errors": {"type": "list", "elements": "str", "default": []},
    "timeout": {"type": "float", "default": 300},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={**BULK_OPTIONS, **OPTIONS},
        required_if=[("state", "present", ("endpoint", "node_name"))],
        supports_check_mode=True,
    )
    run_bulk(module, "kubeadm_join", join, absent, hold_lock=False)


if __name__ == "__main__":
    main()
