#!/usr/bin/python
# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove that a Kubernetes cluster works."""

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_smoke
short_description: Prove that a Kubernetes cluster does what its users expect
version_added: 0.1.0
author: the labctl authors (@labctl)
description:
  - Sees that all nodes are ready, and runs a web server of two replicas on two nodes. Reaches it from pod to pod, by
    its Service's address and name, and by the port of every node from outside; reads its log and runs a program in
    it; has it updated under steady load without a failed request; and, where the cluster has a default StorageClass
    or O(storage_class) names one, writes to a volume in one pod and reads from it in another.
  - All of it lies in a namespace of its own, which is removed at the end, also after a failure. What a check that was
    killed has left is removed by the next one. So there should be one at a time.
attributes:
  check_mode: {support: none, description: It would prove nothing without running anything.}
  diff_mode: {support: none, description: There is nothing to compare.}
  idempotent: {support: full, description: Reports no change, as nothing is left behind.}
extends_documentation_fragment: labctl.stacks.kubernetes
options:
  image:
    description: Image of labctl's own web server, which the nodes must have.
    type: str
    default: localhost/labctl/labweb:1.0.0
  nodes:
    description: Names of nodes that must be in the cluster. More may be.
    type: list
    elements: str
    default: []
  storage_class:
    description: StorageClass of the volume. Without it the default one, and no volume where there is none.
    type: str
    default: ""
  timeout:
    description: Seconds that a rollout may take.
    type: float
    default: 120
"""

EXAMPLES = r"""
- name: Prove that the cluster works as its users expect
  labctl.stacks.k8s_smoke:
    nodes: [master, worker1, worker2]
"""

RETURN = r"""
report:
  description: What was proven, a line each.
  returned: success
  type: list
  elements: str
  sample: ['rolling update: 412 requests by 10.0.0.3, 10.0.0.4 meanwhile, none failed']
timeline:
  description: Seconds each step took.
  returned: success
  type: dict
  sample: {nodes: 0.1, deploy: 3.2, update: 14.0}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.labctl.stacks.plugins.module_utils.errors import LabError
from ansible_collections.labctl.stacks.plugins.module_utils.kubeapi import KUBE_OPTIONS, KubeApi, KubeError
from ansible_collections.labctl.stacks.plugins.module_utils.kubeapply import CACHE
from ansible_collections.labctl.stacks.plugins.module_utils.kubesmoke import Smoke


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **KUBE_OPTIONS,
            "image": {"type": "str", "default": "localhost/labctl/labweb:1.0.0"},
            "nodes": {"type": "list", "elements": "str", "default": []},
            "storage_class": {"type": "str", "default": ""},
            "timeout": {"type": "float", "default": 120},
        },
        supports_check_mode=False,
    )
    params = module.params
    kubectl = [params["kubectl"], f"--kubeconfig={params['kubeconfig']}", f"--cache-dir={CACHE}"]
    if params["server"]:
        kubectl.append(f"--server={params['server']}")
    try:
        smoke = Smoke(
            KubeApi(params["kubeconfig"], params["server"]),
            kubectl=kubectl,
            image=params["image"],
            nodes=params["nodes"],
            storage_class=params["storage_class"],
            timeout=params["timeout"],
        )
        smoke.run()
    except LabError as exc:
        module.fail_json(msg="\n".join(filter(None, [exc.report, exc.hint and f"hint: {exc.hint}"])))
    except KubeError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, report=smoke.report, timeline=smoke.timeline)


if __name__ == "__main__":
    main()
