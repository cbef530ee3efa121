# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the options that the inventory plugin of every provider documents."""

from __future__ import annotations


class ModuleDocFragment:
    """Where an inventory file's lab is."""

    DOCUMENTATION = r"""
options:
  lab:
    description: The lab file, relative to the inventory file.
    type: str
    default: lab.yml
  lab_dir:
    description:
      - The lab folder, which holds the lab's id, keys and records, relative to the inventory file.
      - By default C(.labctl) beside the inventory file, or the inventory file's own folder where that is called
        C(.labctl).
    type: str
requirements:
  - pydantic >= 2.13 on the controller
author:
  - the labctl authors (@labctl)
"""
