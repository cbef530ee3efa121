#!/usr/bin/python
# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write all of a role's files in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: config_tree
short_description: Write all of a role's files in one call
version_added: 0.1.0
description:
  - Makes a set of files with content, owner and mode, all or none. Every file is staged beside its target, every
    O(files[].validate) is run, and only when none refuses are the files renamed into place.
  - Files that an earlier call with the same O(role) and O(part) declared and this one does not are removed. A file
    that was on the host before labctl is backed up below C(/var/lib/labctl/backup) and put back when it is no longer
    declared.
  - A link at a file's path is replaced, not followed. Links on the way to it are followed only if root owns them.
  - File bodies travel encoded in a suboption that is never logged. They are in no result, except in a diff that was
    asked for, and of files marked secret not even there. What stands literally in a playbook is known to Ansible
    before this module is, so a secret belongs in a variable or a lookup.
extends_documentation_fragment: labctl.stacks.bulk
options:
  files:
    description: The files, all that this part of the role has.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      content:
        description:
          - The whole content, a string; use P(ansible.builtin.template#lookup), P(ansible.builtin.to_nice_yaml#filter)
            and their like to make it. Anything else than a string is refused, as is a file without content. An empty
            string makes an empty file.
          - The action plugin encodes it; the module itself knows only O(files[].content_b64).
        type: str
      content_b64:
        description: The content in base64. Made by the action plugin from O(files[].content), not for use in playbooks.
        type: str
      owner:
        description: Name of the user who owns the file.
        type: str
        default: root
      group:
        description: Name of the group of the file.
        type: str
        default: root
      mode:
        description: Octal mode, quoted and with a leading zero.
        type: str
        default: "0644"
      secret:
        description: Whether the content is secret. A diff then says only that it differs, and digests of it are keyed.
        type: bool
        default: false
      validate:
        description:
          - Command line that checks the file, with V(%s) for its temporary path. Run without a shell, on every write,
            before any file is put in place; not in check mode, as it needs the file to be written.
        type: str
        default: ""
  directories:
    description:
      - Closed folders. They are made with owner and mode, and a file in them that neither this call nor any other part
        or role declares is moved to C(/var/lib/labctl/backup/stray). Folders in them are left alone.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      owner:
        description: Name of the user who owns the folder.
        type: str
        default: root
      group:
        description: Name of the group of the folder.
        type: str
        default: root
      mode:
        description: Octal mode, quoted and with a leading zero.
        type: str
        default: "0755"
attributes:
  diff_mode:
    details: A diff per file; of secret files only that they differ.
seealso:
  - module: labctl.stacks.unit
    description: Restarts units when RV(digest) changes.
"""

EXAMPLES = r"""
- name: Write the configuration of HDFS
  labctl.stacks.config_tree:
    role: hdfs
    directories:
      - path: /etc/hadoop
    files:
      - path: /etc/hadoop/hadoop-env.sh
        content: "{{ lookup('ansible.builtin.template', 'etc/hadoop/hadoop-env.sh.j2') }}"
        validate: bash -n %s
      - path: /etc/hadoop/http-signature.secret
        content: "{{ hdfs_http_secret }}"
        group: hdfs
        mode: "0640"
        secret: true
  register: __hdfs_config

- name: Remove it again
  labctl.stacks.config_tree:
    role: hdfs
    state: absent
"""

RETURN = r"""
digest:
  description:
    - sha256 over path, mode, owner, group and content of all files, also in check mode. Equal digests, equal
      configuration; give it to O(labctl.stacks.unit#module:config_digest).
    - With secret files it is keyed per host. Empty with O(state=absent).
  returned: success
  type: str
  sample: 5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592
files_changed:
  description: Paths of the files written, or in check mode to be written.
  returned: success
  type: list
  elements: str
  sample: [/etc/hadoop/hadoop-env.sh]
removed:
  description: Paths of files no longer declared, and of stray files in closed folders.
  returned: success
  type: list
  elements: str
  sample: [/etc/hadoop/core-site.xml.orig]
changes:
  description: Every change in a line.
  returned: always
  type: list
  elements: str
  sample: ["/etc/hadoop/hadoop-env.sh: absent -> root:root 0644, new content"]
manifest:
  description: The role's manifest on the host, with an empty sha256 where there is none.
  returned: always
  type: dict
  sample: {role: hdfs, sha256: 5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.labctl.stacks.plugins.module_utils.bulk import BULK_OPTIONS, run_bulk
from ansible_collections.labctl.stacks.plugins.module_utils.filetree import absent, present

ATTRIBUTES = {
    "path": {"type": "path", "required": True},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
}
OPTIONS = {
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            **ATTRIBUTES,
            "mode": {"type": "str", "default": "0644"},
            "content_b64": {"type": "str", "no_log": True},
            "secret": {"type": "bool", "default": False},
            "validate": {"type": "str", "default": ""},
        },
    },
    "directories": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {**ATTRIBUTES, "mode": {"type": "str", "default": "0755"}},
    },
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={**BULK_OPTIONS, **OPTIONS}, supports_check_mode=True)
    run_bulk(module, "config_tree", present, absent)


if __name__ == "__main__":
    main()
