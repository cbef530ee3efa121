#!/usr/bin/python
# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take a node out of a Kubernetes cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_node_removed
short_description: Take a node out of a Kubernetes cluster
version_added: 0.1.0
author: the labctl authors (@labctl)
description:
  - Runs on a master. Lets the node take no new pods, evicts those it has, keeping to their disruption budgets, and
    deletes the node. Pods of a node that does not answer go with it.
  - A pod that nobody would start again elsewhere is not evicted; the module fails and names it.
  - The host itself is left as it is; M(labctl.stacks.kubeadm_join) with C(state=absent) takes the cluster off it.
attributes:
  check_mode: {support: full, description: Says what it would do and does nothing.}
  diff_mode: {support: none, description: There is nothing to compare.}
  idempotent: {support: full, description: A node that is not there is no change.}
options:
  node_name:
    description: Name of the node.
    type: str
    required: true
  timeout:
    description: Seconds that its pods may take to go.
    type: float
    default: 180
"""

EXAMPLES = r"""
- name: Take this host out of the cluster
  labctl.stacks.k8s_node_removed:
    node_name: "{{ inventory_hostname }}"
  delegate_to: master
"""

RETURN = r"""
done:
  description: What was done, in words.
  returned: success
  type: list
  elements: str
  sample: [3 pods moved, deleted]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.labctl.stacks.plugins.module_utils.errors import LabError
from ansible_collections.labctl.stacks.plugins.module_utils.kubeadm import LOCAL
from ansible_collections.labctl.stacks.plugins.module_utils.kubeapi import ADMIN, KubeApi, KubeError
from ansible_collections.labctl.stacks.plugins.module_utils.kubedrain import remove


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"node_name": {"type": "str", "required": True}, "timeout": {"type": "float", "default": 180}},
        supports_check_mode=True,
    )
    try:
        api = KubeApi(ADMIN, server=LOCAL)
        done = remove(api, module.params["node_name"], seconds=module.params["timeout"], check=module.check_mode)
    except KubeError as exc:
        module.fail_json(msg=str(exc))
    except LabError as exc:
        module.fail_json(msg="\n".join(filter(None, [exc.report, exc.hint and f"hint: {exc.hint}"])))
    module.exit_json(changed=bool(done), done=done)


if __name__ == "__main__":
    main()
