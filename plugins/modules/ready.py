#!/usr/bin/python
# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until what a role serves can be used."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ready
short_description: Wait until ports, HTTP answers and commands are as expected
version_added: 0.1.0
description:
  - Looks at all checks side by side, every O(interval) seconds, until each is as expected or O(timeout) is over. Then
    it fails with what it last saw of each check.
  - It never reports a change. In check mode it looks once and never fails; see RV(pending).
  - The checks are recorded in the role's manifest, so that drift is noticed later. They must hold no secret.
extends_documentation_fragment: labctl.stacks.bulk
options:
  checks:
    description: What to look at. Each check has exactly one of O(checks[].port), O(checks[].url), O(checks[].names),
      O(checks[].command).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What is looked at, in a person's words; unique in the call.
        type: str
        required: true
      port:
        description: A TCP port that must accept connections.
        type: int
      host:
        description: Name or address of the host of O(checks[].port), seen from the managed host.
        type: str
        default: 127.0.0.1
      url:
        description: An http or https address to get. Redirections are not followed, proxies not used.
        type: str
      status:
        description: Status the answer must have.
        type: int
        default: 200
      contains:
        description: Text that the answer must contain.
        type: str
        default: ""
      json:
        description:
          - Values the JSON answer must have, by dotted path, such as V(beans.0.NumLiveDataNodes). A number indexes a
            list, and keys may contain dots themselves. Values are equal when they are equal as text.
        type: dict
        default: {}
      names:
        description: Names of hosts that must resolve on the managed host.
        type: list
        elements: str
        default: []
      command:
        description:
          - Program and arguments to run, as root and without a shell. Only a run of this module makes this check, as it
            may cost what it likes; when labctl looks for drift, it leaves it out.
        type: list
        elements: str
        default: []
      rc:
        description: Exit code the command must have.
        type: int
        default: 0
  timeout:
    description: Seconds to wait at most.
    type: float
    default: 60
  interval:
    description: Seconds between two looks at a check, at least 0.1.
    type: float
    default: 0.2
  record:
    description:
      - Whether the checks are recorded in the manifest. Off for what must be so at this moment only, as before a member
        of a cluster is restarted; what an earlier call recorded then stays.
    type: bool
    default: true
attributes:
  check_mode:
    details: Looks once and never fails.
  diff_mode:
    support: none
    details: There is nothing to show, as nothing is changed.
seealso:
  - module: ansible.builtin.wait_for
  - module: ansible.builtin.uri
"""

EXAMPLES = r"""
- name: Wait until the NameNode serves and has both DataNodes
  labctl.stacks.ready:
    role: hdfs
    part: namenode
    timeout: 60
    checks:
      - name: NameNode RPC
        host: "{{ lab_address }}"
        port: 8020
      - name: live DataNodes
        url: http://{{ lab_address }}:9870/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState
        json:
          beans.0.NumLiveDataNodes: 2
      - name: HDFS answers
        command: [hdfs, dfs, -test, -d, /]
"""

RETURN = r"""
elapsed:
  description: Seconds waited.
  returned: always
  type: float
  sample: 3.2
ready:
  description: Whether all checks were as expected.
  returned: success
  type: bool
  sample: true
pending:
  description: What was last seen of the checks that were not as expected, by name. Not empty only in check mode.
  returned: success
  type: dict
  sample: {NameNode RPC: "connection refused by 10.0.0.2:8020"}
manifest:
  description: The role's manifest on the host, with an empty sha256 where there is none.
  returned: always
  type: dict
  sample: {role: hdfs, sha256: 5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.labctl.stacks.plugins.module_utils.bulk import BULK_OPTIONS, run_bulk
from ansible_collections.labctl.stacks.plugins.module_utils.probes import CHECKS, absent, present

OPTIONS = {
    "checks": CHECKS,
    "timeout": {"type": "float", "default": 60},
    "interval": {"type": "float", "default": 0.2},
    "record": {"type": "bool", "default": True},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={**BULK_OPTIONS, **OPTIONS}, supports_check_mode=True)
    # It may wait for what another call has yet to start on this host.
    run_bulk(module, "ready", present, absent, hold_lock=False)


if __name__ == "__main__":
    main()
