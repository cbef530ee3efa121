#!/usr/bin/python
# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages, users, groups, directories, kernel settings and names of a role in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: system
short_description: Packages, users, groups, directories, kernel settings and names of a role in one call
version_added: 0.1.0
description:
  - Writes C(/etc/sysusers.d), C(/etc/tmpfiles.d), C(/etc/sysctl.d) and C(/etc/modules-load.d) files named
    C(labctl-<role>-<part>.conf) and calls systemd's own tools for what differs from them, so a reboot keeps it all.
    Packages that are missing are installed by apt. Names of hosts stand in C(/etc/hosts), in a block between marks that
    tell the role and part; lines outside of it are left as they are.
  - It compares with the real state of the host, not with the files alone.
  - The manifest keeps what existed before. What is no longer declared is undone only where labctl made it and no other
    part or role declares it. Packages labctl installed are purged, together with what was pulled in only for them.
    Kernel modules stay loaded until the next boot.
extends_documentation_fragment: labctl.stacks.bulk
options:
  packages:
    description: Names of packages to have, on Debian and Ubuntu. Recommended packages are not pulled in.
    type: list
    elements: str
    default: []
  groups:
    description: Names of system groups to have.
    type: list
    elements: str
    default: []
  users:
    description: System users to have. Groups they are in are made too.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Login name.
        type: str
        required: true
      group:
        description: Primary group; by default a group of the user's own name.
        type: str
      groups:
        description: Further groups the user must be in. Groups it is in besides are left.
        type: list
        elements: str
        default: []
      home:
        description: Home directory. It is not made; declare it in O(directories). By default systemd's, C(/).
        type: str
      shell:
        description: Login shell. By default systemd's, one that lets nobody in.
        type: str
      comment:
        description: The user's full name.
        type: str
  directories:
    description: Directories to have, with missing parents.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      owner:
        description: Name of the user who owns it.
        type: str
        default: root
      group:
        description: Name of its group.
        type: str
        default: root
      mode:
        description: Octal mode, quoted and with a leading zero.
        type: str
        default: "0755"
      data:
        description:
          - Whether it holds data that must outlive the role. Such a directory is removed only with O(purge_data), and
            until then its user and group stay too and the manifest remembers it.
        type: bool
        default: false
  sysctls:
    description: Kernel parameters with the value each shall have. Values are compared as text.
    type: dict
    default: {}
  kernel_modules:
    description: Kernel modules to have loaded, now and at boot.
    type: list
    elements: str
    default: []
  host_names:
    description:
      - Names to have in C(/etc/hosts), each with its one address. A name that has another address elsewhere in that
        file is an error.
    type: dict
    default: {}
  purge_data:
    description: Whether directories marked O(directories[].data) go with what is removed.
    type: bool
    default: false
seealso:
  - module: labctl.stacks.config_tree
"""

EXAMPLES = r"""
- name: Prepare the system for HDFS
  labctl.stacks.system:
    role: hdfs
    packages: [default-jre-headless]
    groups: [hadoop]
    users:
      - name: hdfs
        group: hadoop
        home: /var/lib/hdfs
        comment: HDFS daemons
    directories:
      - path: /var/lib/hdfs
        owner: hdfs
        group: hadoop
        mode: "0750"
      - path: /var/lib/hdfs/name
        owner: hdfs
        group: hadoop
        mode: "0700"
        data: true
    sysctls:
      vm.swappiness: 10
    host_names:
      hdfs-namenode: 10.20.30.2

- name: Undo it, and remove the data too
  labctl.stacks.system:
    role: hdfs
    state: absent
    purge_data: true
"""

RETURN = r"""
packages_installed:
  description: Packages that were missing, or older than recorded, and were installed; in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [default-jre-headless]
packages_removed:
  description: Packages that were removed.
  returned: success
  type: list
  elements: str
  sample: []
kept:
  description: Data directories that are no longer declared and stay, as O(purge_data) is off.
  returned: success
  type: list
  elements: str
  sample: [/var/lib/hdfs/name]
changes:
  description: Every change in a line.
  returned: always
  type: list
  elements: str
  sample: ["user hdfs: absent -> present"]
manifest:
  description: The role's manifest on the host, with an empty sha256 where there is none.
  returned: always
  type: dict
  sample: {role: hdfs, sha256: 5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.labctl.stacks.plugins.module_utils.bulk import BULK_OPTIONS, run_bulk
from ansible_collections.labctl.stacks.plugins.module_utils.host_setup import absent, present

NAMES = {"type": "list", "elements": "str", "default": []}
USER = {
    "name": {"type": "str", "required": True},
    "group": {"type": "str"},
    "groups": NAMES,
    "home": {"type": "str"},
    "shell": {"type": "str"},
    "comment": {"type": "str"},
}
DIRECTORY = {
    "path": {"type": "path", "required": True},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str", "default": "0755"},
    "data": {"type": "bool", "default": False},
}
OPTIONS = {
    "packages": NAMES,
    "groups": NAMES,
    "users": {"type": "list", "elements": "dict", "default": [], "options": USER},
    "directories": {"type": "list", "elements": "dict", "default": [], "options": DIRECTORY},
    "sysctls": {"type": "dict", "default": {}},
    "kernel_modules": NAMES,
    "host_names": {"type": "dict", "default": {}},
    "purge_data": {"type": "bool", "default": False},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={**BULK_OPTIONS, **OPTIONS}, supports_check_mode=True)
    run_bulk(module, "system", present, absent)


if __name__ == "__main__":
    main()
