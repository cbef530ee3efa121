#!/usr/bin/python
# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action labctl.stacks.secrets, which runs on the controller alone."""

from __future__ import annotations

DOCUMENTATION = r"""
module: secrets
short_description: Make the secrets that a lab lacks
version_added: 0.1.0
description:
  - Makes random values, one per lab and name, in the folder C(secrets) of the lab folder on the controller, which only
    its user can read. What exists is never changed. No host is involved; P(labctl.stacks.secret#lookup) reads a value
    where it is needed.
  - The lab folder is C(labctl_lab_dir), which the inventory plugins of this collection set, and otherwise C(.labctl)
    beside the inventory. So C(labctl) and C(ansible-playbook) find the same secrets.
  - To choose a value yourself, write it to the file before the first run. To change one, remove its file.
  - The values come from P(ansible.builtin.password#lookup), and are written whole or not at all, so that a run that is
    killed leaves no empty password. Run it once for all hosts, as the secrets are the lab's.
options:
  secrets:
    description: The secrets the lab shall have.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the secret, of letters, digits, C(-) and C(_); begin it with the role's name.
        type: str
        required: true
      length:
        description: Number of characters. Together with O(secrets[].chars) it must give 128 bits or more.
        type: int
        default: 32
      chars:
        description: The characters to take. Of V(punctuation) both quotation marks are left out.
        type: list
        elements: str
        choices: [ascii_letters, ascii_lowercase, ascii_uppercase, digits, punctuation]
        default: [ascii_letters, digits]
attributes:
  check_mode:
    description: Says which secrets a run would make, and makes nothing.
    support: full
  diff_mode:
    description: Has no diff, which would show a secret.
    support: none
  idempotent:
    description: A second run changes nothing.
    support: full
  action:
    description: Runs on the controller alone.
    support: full
author:
  - the labctl authors (@labctl)
seealso:
  - plugin: labctl.stacks.secret
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Make the passwords of Elasticsearch
  labctl.stacks.secrets:
    secrets:
      - name: elasticsearch_elastic
      - name: elasticsearch_keystore
        length: 48
  run_once: true
"""

RETURN = r"""
made:
  description: Names of the secrets made, or in check mode to be made.
  returned: success
  type: list
  elements: str
  sample: [elasticsearch_elastic]
folder:
  description: Where they are, on the controller.
  returned: success
  type: str
  sample: /home/ann/demo/.labctl/secrets
"""
