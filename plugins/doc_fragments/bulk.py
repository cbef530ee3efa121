# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the options, attributes and return values that every bulk module documents."""

from __future__ import annotations


class ModuleDocFragment:
    """Options and attributes of system, config_tree, unit, ready and artifact."""

    DOCUMENTATION = r"""
options:
  role:
    description:
      - Name of the role this call belongs to. What the call manages is recorded on the host in
        C(/var/lib/labctl/manifest.d/<role>.json).
    type: str
    required: true
  part:
    description:
      - Names this call among several of the same module in the same role, one section of the manifest each.
      - A call replaces its section. What the section recorded before and is no longer declared is removed from the
        host, unless another section or role declares it too.
      - With O(state=present) the default is V(main); with O(state=absent) the default is every part.
    type: str
  state:
    description:
      - V(present) makes the host as declared. V(absent) undoes what the manifest says this module did for the role;
        other options may be given and are ignored.
    type: str
    choices: [present, absent]
    default: present
requirements:
  - root on the host
attributes:
  check_mode:
    description: Looks at the real state of the host and says what a run would change, without changing it.
    support: full
  diff_mode:
    description: Returns what changes, before and after, only when asked to.
    support: full
  idempotent:
    description: A second run with the same options changes nothing and leaves the manifest byte-identical.
    support: full
  action:
    description: Runs on the controller too, where it keeps the sha256 of the manifest in the lab folder.
    support: full
author:
  - the labctl authors (@labctl)
"""
