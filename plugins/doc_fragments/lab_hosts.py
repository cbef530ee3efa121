# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the options and attributes that the host module of every provider documents."""

from __future__ import annotations


class ModuleDocFragment:
    """Which lab, and whether its hosts shall be there."""

    DOCUMENTATION = r"""
options:
  lab:
    description: The lab file.
    type: path
    required: true
  lab_dir:
    description:
      - The lab folder, which holds the lab's id, keys and records.
      - By default C(.labctl) beside the lab file, or the lab file's own folder where that is called C(.labctl).
    type: path
  state:
    description:
      - V(present) makes the hosts that are missing, and repairs and starts those that do not run. It never removes or
        re-creates one.
      - V(absent) removes all hosts of the lab and all that was made for them; their data is lost.
    type: str
    choices: [present, absent]
    default: present
requirements:
  - pydantic >= 2.13 on the controller
attributes:
  check_mode:
    description: Says what a run would do, without doing it.
    support: full
  diff_mode:
    description: Returns each host's state before and after.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
author:
  - the labctl authors (@labctl)
"""
