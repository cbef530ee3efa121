#!/usr/bin/python
# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install a Helm chart."""

from __future__ import annotations

DOCUMENTATION = r"""
module: helm_release
short_description: Have a Helm chart installed as declared
version_added: 0.1.0
description:
  - Installs or upgrades one release of a chart by the ordinary C(helm), only where its objects or values would differ,
    where it is not deployed, or where somebody changed one of its objects since; and waits until it is rolled out.
  - A release that a killed run left half-way is removed and installed anew.
extends_documentation_fragment: [labctl.stacks.bulk, labctl.stacks.kubernetes]
options:
  name:
    description: Name of the release. Needed with O(state=present).
    type: str
    default: ""
  namespace:
    description: Its namespace, which must exist. Needed with O(state=present).
    type: str
    default: ""
  chart:
    description:
      - Folder of the chart on the controller. Needed with O(state=present).
      - The action plugin packs it; the module itself knows only O(chart_b64).
    type: path
  chart_b64:
    description: The chart as a tar in base64. Made by the action plugin from O(chart), not for use in playbooks.
    type: str
    default: ""
  values:
    description: Values over the chart's own.
    type: dict
  values_b64:
    description: The values as JSON in base64. Made by the action plugin from O(values), not for use in playbooks.
    type: str
    default: ""
  wait:
    description: Whether to wait until its Deployments, DaemonSets and StatefulSets are rolled out.
    type: bool
    default: true
  timeout:
    description: Seconds to wait at most.
    type: float
    default: 180
  watch:
    description:
      - Whether labctl notices when somebody changes or deletes an object. Off for what may be played with; it is
        removed all the same.
    type: bool
    default: true
  helm:
    description: The C(helm) command.
    type: path
    default: /opt/helm/bin/helm
attributes:
  check_mode:
    details: Helm renders the chart with what the API server has, and applies nothing.
  diff_mode:
    details: Shows the release's objects as Helm rendered them.
seealso:
  - module: labctl.stacks.k8s_apply
"""

EXAMPLES = r"""
- name: Have a shop of four services
  labctl.stacks.helm_release:
    role: shop
    name: shop
    namespace: shop
    chart: "{{ playbook_dir }}/../charts/bookshop"
    values: {imagePullPolicy: Never}

- name: Take it away
  labctl.stacks.helm_release:
    role: shop
    state: absent
"""

RETURN = r"""
status:
  description: What Helm says of the release.
  returned: success
  type: str
  sample: deployed
changes:
  description: Every change in a line.
  returned: always
  type: list
  elements: str
  sample: ["release shop: absent -> installed"]
manifest:
  description: The role's manifest on the host, with an empty sha256 where there is none.
  returned: always
  type: dict
  sample: {role: shop, sha256: 5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.labctl.stacks.plugins.module_utils.bulk import BULK_OPTIONS, run_bulk
from ansible_collections.labctl.stacks.plugins.module_utils.helmrelease import absent, present
from ansible_collections.labctl.stacks.plugins.module_utils.kubeapi import KUBE_OPTIONS

OPTIONS = {
    "name": {"type": "str", "default": ""},
    "namespace": {"type": "str", "default": ""},
    "chart_b64": {"type": "str", "default": "", "no_log": True},
    "values_b64": {"type": "str", "default": "", "no_log": True},
    "wait": {"type": "bool", "default": True},
    "timeout": {"type": "float", "default": 180},
    "watch": {"type": "bool", "default": True},
    "helm": {"type": "path", "default": "/opt/helm/bin/helm"},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={**BULK_OPTIONS, **KUBE_OPTIONS, **OPTIONS}, supports_check_mode=True)
    # It waits for pods.
    run_bulk(module, "helm_release", present, absent, hold_lock=False)


if __name__ == "__main__":
    main()
