#!/usr/bin/python
# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let a host into a Kubernetes cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeadm_admit
short_description: Let a host into a Kubernetes cluster
version_added: 0.1.0
author: the labctl authors (@labctl)
description:
  - Runs on a master. Makes a bootstrap token known to the cluster for half an hour, and for a further master has the
    cluster's keys uploaded, locked with O(certificate_key), as kubeadm does it.
  - Clears away what a host of the same name left in the cluster, its node where that does not work any more, and the
    etcd member of a master that is no more. A node of that name that works and has another address is refused.
attributes:
  check_mode: {support: full, description: Says what it would do and does nothing.}
  diff_mode: {support: none, description: There is nothing to compare.}
  idempotent: {support: none, description: Each call opens the door anew. Call it for hosts that are no members.}
options:
  node_name:
    description: Name of the host that is let in.
    type: str
    required: true
  token:
    description: The token, six characters, a dot and sixteen characters of a-z and 0-9.
    type: str
    required: true
  certificate_key:
    description: For a master, 64 hexadecimal digits that the keys are locked with.
    type: str
    default: ""
  node_address:
    description: Address of the host. A node of that name and address is what the host was before it was lost.
    type: str
    required: true
seealso:
  - module: labctl.stacks.kubeadm_join
"""

EXAMPLES = r"""
- name: Let this host in
  labctl.stacks.kubeadm_admit:
    node_name: "{{ inventory_hostname }}"
    node_address: "{{ lab_address }}"
    token: "{{ my_token }}"
  delegate_to: master
  register: my_door
"""

RETURN = r"""
authority:
  description: Pin of the cluster's authority, for hosts that join.
  returned: success
  type: str
  sample: sha256:7d1a54127b222502f5b79b5fb0803061152a44f92b37e23c6527baf665d4da9a
"""

import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.labctl.stacks.plugins.module_utils.errors import LabError
from ansible_collections.labctl.stacks.plugins.module_utils.kubeadm_join import admit

OPTIONS = {
    "node_name": {"type": "str", "required": True},
    "token": {"type": "str", "required": True, "no_log": True},
    "certificate_key": {"type": "str", "default": "", "no_log": True},
    "node_address": {"type": "str", "required": True},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    if not re.fullmatch("[a-z0-9]{6}[.][a-z0-9]{16}", module.params["token"]) and not module.check_mode:
        module.fail_json(msg="token is no bootstrap token: six characters, a dot and sixteen, all of a-z and 0-9")
    try:
        outcome = admit(module.params, module.check_mode)
    except LabError as exc:
        module.fail_json(msg="\n".join(filter(None, [exc.report, exc.hint and f"hint: {exc.hint}"])))
    module.exit_json(changed=bool(outcome.changes), changes=[str(one) for one in outcome.changes], **outcome.values)


if __name__ == "__main__":
    main()
