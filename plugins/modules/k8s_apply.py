#!/usr/bin/python
# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apply objects to Kubernetes in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_apply
short_description: Have objects in Kubernetes as declared, in one call
version_added: 0.1.0
description:
  - Applies all objects in their order by server-side apply, deletes those that an earlier call with the same O(role)
    and O(part) applied and this one does not, and waits until Deployments, DaemonSets and StatefulSets are rolled out.
  - Namespaces and CustomResourceDefinitions must come before what needs them.
  - When the time is over, the task fails and says why, by the pods' states, their events, and the last words of
    containers that ended.
  - Objects get the label C(app.kubernetes.io/managed-by=labctl), unless they declare another.
  - Fields that others hold are taken over. Fields that O(manifests) says nothing of are left as they are.
  - The objects are recorded in the role's manifest with what tells a change of them, so that labctl notices when
    somebody changes or deletes one.
extends_documentation_fragment: [labctl.stacks.bulk, labctl.stacks.kubernetes]
options:
  manifests:
    description:
      - The objects, a dictionary each. Namespaced ones without a namespace lie in C(default).
      - The action plugin encodes them, as some hold secrets; the module itself knows only O(manifests_b64).
    type: list
    elements: dict
  manifests_b64:
    description: The objects as JSON in base64. Made by the action plugin from O(manifests), not for use in playbooks.
    type: str
    default: ""
  wait:
    description:
      - Whether to wait until the objects are at work, and until deleted ones are gone. Definitions of kinds are waited
        for too.
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
attributes:
  check_mode:
    details: Asks the API server for a dry run, so that its defaults, admission and refusals count.
  diff_mode:
    details: Of a Secret it shows which values differ, and never what they are.
notes:
  - Runs on a master. In check mode on one that has no cluster yet, everything is taken as new.
  - With O(state=absent), objects that another call on this host declares too are left. Where the API does not answer,
    what was applied is forgotten with a warning, so that a broken cluster can be removed.
seealso:
  - name: Server-side apply
    description: How Kubernetes merges what several managers ask for.
    link: https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

EXAMPLES = r"""
- name: Have a web server of two replicas
  labctl.stacks.k8s_apply:
    role: web
    manifests:
      - {apiVersion: v1, kind: Namespace, metadata: {name: web}}
      - apiVersion: apps/v1
        kind: Deployment
        metadata: {name: web, namespace: web}
        spec:
          replicas: 2
          selector: {matchLabels: {app: web}}
          template:
            metadata: {labels: {app: web}}
            spec:
              containers:
                - name: web
                  image: localhost/labctl/labweb:1.0.0
                  imagePullPolicy: Never

- name: Have what a file of the role says
  labctl.stacks.k8s_apply:
    role: web
    part: extras
    timeout: 60
    manifests: "{{ lookup('ansible.builtin.template', 'extras.yml.j2') | from_yaml_all | list }}"

- name: Take all of it away
  labctl.stacks.k8s_apply:
    role: web
    state: absent
"""

RETURN = r"""
applied:
  description: The objects that were applied, changed or not, in their order.
  returned: success
  type: list
  elements: str
  sample: [Namespace web, Deployment web/web]
pruned:
  description: The objects that were deleted.
  returned: success
  type: list
  elements: str
  sample: []
waited:
  description: Seconds until all was rolled out.
  returned: when it waited
  type: float
  sample: 2.4
changes:
  description: Every change in a line.
  returned: always
  type: list
  elements: str
  sample: ["Deployment web/web: differs in spec.replicas -> applied"]
manifest:
  description: The role's manifest on the host, with an empty sha256 where there is none.
  returned: always
  type: dict
  sample: {role: web, sha256: 5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.labctl.stacks.plugins.module_utils.bulk import BULK_OPTIONS, run_bulk
from ansible_collections.labctl.stacks.plugins.module_utils.kubeapi import KUBE_OPTIONS
from ansible_collections.labctl.stacks.plugins.module_utils.kubeapply import absent, present

OPTIONS = {
    "manifests_b64": {"type": "str", "default": "", "no_log": True},
    "wait": {"type": "bool", "default": True},
    "timeout": {"type": "float", "default": 180},
    "watch": {"type": "bool", "default": True},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={**BULK_OPTIONS, **KUBE_OPTIONS, **OPTIONS}, supports_check_mode=True)
    # It may wait for what other calls have yet to start on this host.
    run_bulk(module, "k8s_apply", present, absent, hold_lock=False)


if __name__ == "__main__":
    main()
