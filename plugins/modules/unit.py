#!/usr/bin/python
# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write, enable and run a set of systemd units in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: unit
short_description: Write, enable and run a set of systemd units in one call
version_added: 0.1.0
description:
  - Writes unit files to C(/etc/systemd/system), reloads systemd only where something changed, enables or disables, and
    starts all units that need it in one call of systemctl, so that they come up in parallel.
  - A running unit is restarted only when its text, an administrator's drop-in for it, or O(config_digest) differs from
    what it was last started on with success. That is recorded on the host, so a restart is not lost when a run dies
    between writing and restarting, and there is no need of handlers.
  - After a start it waits until every unit is up and stays up. If one does not, the task fails with the end of that
    unit's journal, and the next run starts it again.
  - Members of a replicated service are restarted one at a time, each when the service is healthy; see
    O(units[].rolling). What does not run is started at once, so that a cluster forms in parallel.
  - Units that an earlier call with the same O(role) and O(part) declared and this one does not are stopped, disabled
    and removed. A unit that was on the host before labctl gets back the state it had.
extends_documentation_fragment: labctl.stacks.bulk
options:
  units:
    description: The units, all that this part of the role has.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - Name with its suffix. A template (C(x@.service)) is written, its instances are units of their own.
        type: str
        required: true
      content:
        description:
          - The whole text of the unit file. Without it the unit is the distribution's, and only its state is managed.
          - The action plugin encodes it; the module itself knows only O(units[].content_b64).
        type: str
      content_b64:
        description: The text in base64. Made by the action plugin from O(units[].content), not for use in playbooks.
        type: str
      enabled:
        description: Whether it starts at boot. A masked unit is unmasked.
        type: bool
        default: true
      state:
        description: Whether it runs now.
        type: str
        choices: [started, stopped]
        default: started
      rolling:
        description:
          - Makes the unit a member of a service that is replicated over several hosts of the lab. When it is due for a
            restart, the action plugin waits until no other member has its turn, until all of O(units[].rolling.checks)
            are as expected, restarts it, and waits until they are so again before it lets the next one go.
          - A member that did not come back is remembered in the lab folder. The others are not restarted until it works
            again, also by later runs; the error names it.
          - A unit that does not run, and a member that did not come back, need no healthy service to be started on a
            mended setting.
          - Turns are kept on the controller, by a lock in the folder C(labctl_lab_dir), else in C(.labctl) beside the
            inventory. So they hold under every strategy, with any number of forks, and between two runs at once.
          - Empty, which is the default, for a unit that may be restarted at any time.
          - Taken by the action plugin; the module itself knows only O(hold).
        type: dict
        suboptions:
          service:
            description: Name of the service, the same on all hosts, such as V(hdfs-datanode).
            type: str
            required: true
          checks:
            description:
              - What a healthy service looks like from this host, as O(labctl.stacks.ready#module:checks). They shall
                hold what this member adds to it (that it is registered, say), as they are what the next one waits for.
            type: list
            elements: dict
            required: true
          timeout:
            description: Seconds to wait for a healthy service, before the restart and again after it.
            type: float
            default: 120
  hold:
    description:
      - Units that are not restarted though they are due; see RV(held). Made by the action plugin from
        O(units[].rolling), not for use in playbooks.
    type: list
    elements: str
    default: []
  config_digest:
    description: Digest of the configuration the units run on, such as RV(labctl.stacks.config_tree#module:digest).
    type: str
    default: ""
  timeout:
    description: Seconds within which the units must be up.
    type: float
    default: 90
seealso:
  - module: labctl.stacks.config_tree
  - module: labctl.stacks.ready
    description: Waits until what the units serve can be used.
"""

EXAMPLES = r"""
- name: Run the NameNode
  labctl.stacks.unit:
    role: hdfs
    part: namenode
    config_digest: "{{ __hdfs_config.digest }}"
    units:
      - name: hdfs-namenode.service
        content: "{{ lookup('ansible.builtin.template', 'etc/systemd/system/hdfs-namenode.service.j2') }}"

- name: Run this host's member of a store of three, and restart members one after the other
  labctl.stacks.unit:
    role: store
    config_digest: "{{ __store_config.digest }}"
    units:
      - name: store.service
        content: "{{ lookup('ansible.builtin.template', 'etc/systemd/system/store.service.j2') }}"
        rolling:
          service: store
          checks:
            - name: this member is one of a quorum
              url: "http://{{ lab_address }}:8080/health"

- name: Have a unit of the distribution running
  labctl.stacks.unit:
    role: nfs
    units:
      - name: nfs-ganesha.service

- name: Stop and remove the NameNode's unit
  labctl.stacks.unit:
    role: hdfs
    part: namenode
    state: absent
"""

RETURN = r"""
started:
  description: Units that were not running and were started, or in check mode would be.
  returned: always
  type: list
  elements: str
  sample: [hdfs-namenode.service]
restarted:
  description: Units that ran on an older text or configuration and were restarted.
  returned: always
  type: list
  elements: str
  sample: []
held:
  description: Units that are due for a restart and were not given their turn. Empty unless the task failed.
  returned: always
  type: list
  elements: str
  sample: []
not_up:
  description: Units that were started and did not come up.
  returned: failure
  type: list
  elements: str
  sample: [hdfs-namenode.service]
stopped:
  description: Units that were stopped.
  returned: always
  type: list
  elements: str
  sample: []
changes:
  description: Every change in a line.
  returned: always
  type: list
  elements: str
  sample: ["hdfs-namenode.service: inactive -> started"]
manifest:
  description: The role's manifest on the host, with an empty sha256 where there is none.
  returned: always
  type: dict
  sample: {role: hdfs, sha256: 5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.labctl.stacks.plugins.module_utils.bulk import BULK_OPTIONS, run_bulk
from ansible_collections.labctl.stacks.plugins.module_utils.units import absent, present

OPTIONS = {
    "units": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "content_b64": {"type": "str", "no_log": True},
            "enabled": {"type": "bool", "default": True},
            "state": {"type": "str", "choices": ["started", "stopped"], "default": "started"},
        },
    },
    "hold": {"type": "list", "elements": "str", "default": []},
    "config_digest": {"type": "str", "default": ""},
    "timeout": {"type": "float", "default": 90},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={**BULK_OPTIONS, **OPTIONS}, supports_check_mode=True)
    run_bulk(module, "unit", present, absent)


if __name__ == "__main__":
    main()
