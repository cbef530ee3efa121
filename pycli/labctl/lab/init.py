# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the folder of a new lab, in which labctl and plain ansible-playbook work alike."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ansible_collections.labctl.stacks.plugins.module_utils.errors import Finding, InputError
from ansible_collections.labctl.stacks.plugins.module_utils.labschema import PROVIDERS, did_you_mean
from ansible_collections.labctl.stacks.plugins.module_utils.paths import make_dir

from labctl.lab.locate import FOLDER, LAB_FILE, write_new
from labctl.lab.topology import inventory_text, lab_text, topology

_SITE = """\
---
- name: The lab's hosts and stacks
  ansible.builtin.import_playbook: labctl.stacks.site
"""


def write_lab(folder: Path, stack: str, provider: str) -> list[Path]:
    """Write lab.yml, the inventory file, site.yml and .gitignore; InputError where one is there already."""
    topology(stack)
    if provider not in PROVIDERS:
        raise InputError(f"there is no provider {provider!r}", hint=did_you_mean(provider, PROVIDERS))
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")[:31].rstrip("-")
    if not re.match(r"[a-z]", name):
        name = stack
    files = {
        LAB_FILE: lab_text(name, stack, provider),
        f"{provider}.yml": inventory_text(provider),
        "site.yml": _SITE,
        ".gitignore": f"{FOLDER}/\n",
    }
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is not a folder")
    there = [folder / file for file in files if os.path.lexists(folder / file)]
    # A .gitignore is anybody's, and one that is there says nothing against a lab here.
    if [path for path in there if path.name != ".gitignore"]:
        findings = tuple(Finding(str(path), "is there already") for path in there if path.name != ".gitignore")
        raise InputError("init overwrites nothing", hint="choose another folder", findings=findings)
    if (folder / FOLDER / LAB_FILE).exists():
        raise InputError(f"{folder / FOLDER} holds a lab already", hint="labctl down, or another folder")
    make_dir(folder)
    written = []
    for file, text in files.items():
        if folder / file not in there:
            write_new(folder / file, text)
            written.append(folder / file)
    return written
