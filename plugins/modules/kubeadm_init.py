#!/usr/bin/python
# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Form a Kubernetes cluster on its first master."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeadm_init
short_description: Form a Kubernetes cluster on its first master, and keep its settings on all masters
version_added: 0.1.0
description:
  - Runs C(kubeadm init) on a host that is to form a cluster and has none, once. Whether there is a cluster is asked of
    its API. A run that died in the middle is taken up where it stopped; a cluster that was formed is never formed anew,
    even when it does not work.
  - On a master that runs, brings the parts of the settings whose digest differs from that of what runs, and waits until
    every pod of the control plane works on them. It begins only while all other masters work, so C(throttle=1) makes
    masters follow one another.
  - A host that holds another cluster's files is refused.
  - A failure names its cause, from kubeadm's output and kubelet's journal.
extends_documentation_fragment: labctl.stacks.bulk
options:
  config:
    description: Path on the host of kubeadm's configuration, with all its documents. Required with O(state=present).
    type: path
  digests:
    description:
      - Digest of each part of the settings, so that a change of one touches what it concerns only. The parts are
        V(etcd), V(apiServer), V(controllerManager), V(scheduler), V(certificates), V(cluster), V(kubelet), V(proxy) and
        V(dns).
    type: dict
    default: {}
  node_name:
    description: Name of this host in the cluster. Required with O(state=present).
    type: str
  form:
    description: Whether this host may form a cluster where there is none.
    type: bool
    default: false
  adopt:
    description:
      - Whether a master of which nothing is recorded is taken to run on O(digests), as one does that has just joined a
        cluster which was told of them before.
    type: bool
    default: false
  ignore_preflight_errors:
    description: Names of kubeadm's preflight checks whose errors are only warnings.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds that forming the cluster, or each change of its settings, may take.
    type: float
    default: 300
seealso:
  - module: labctl.stacks.kubeadm_join
"""

EXAMPLES = r"""
- name: Form the cluster on the first master
  labctl.stacks.kubeadm_init:
    role: k8s_master
    config: /etc/kubernetes/kubeadm.yaml
    node_name: master
    form: true
"""

RETURN = r"""
member:
  description: Whether this host is now a master of a whole cluster.
  returned: with state=present
  type: bool
  sample: true
formed:
  description: Whether this call formed the cluster; in check mode would.
  returned: with state=present
  type: bool
  sample: false
settings:
  description: The parts of the settings that were brought; in check mode would be.
  returned: with state=present
  type: list
  elements: str
  sample: [apiServer]
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
from ansible_collections.labctl.stacks.plugins.module_utils.kubeadm_init import absent, present

OPTIONS = {
    "config": {"type": "path"},
    "digests": {"type": "dict", "default": {}},
    "node_name": {"type": "str"},
    "form": {"type": "bool", "default": False},
    "adopt": {"type": "bool", "default": False},
    "ignore_preflight_errors": {"type": "list", "elements": "str", "default": []},
    "timeout": {"type": "float", "default": 300},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={**BULK_OPTIONS, **OPTIONS},
        required_if=[("state", "present", ("config", "node_name"))],
        supports_check_mode=True,
    )
    # Forming a cluster takes as long as it takes; other calls on this host need not wait for it.
    run_bulk(module, "kubeadm_init", present, absent, hold_lock=False)


if __name__ == "__main__":
    main()
