# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin of hosts that exist already, as Ansible runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.labctl.stacks.plugins.inventory import static as plugin

LAB_YML = "name: there\nprovider: static\nhosts: {head: {address: 127.0.0.1, vars: {ansible_user: admin}}}\n"


def served(folder: Path, text: str) -> dict[str, Any]:
    """The variables of host head, from an inventory file static.yml."""
    (folder / "static.yml").write_text(text)
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(Path(__file__).parents[3] / ".dev"),
        "HOME": str(folder),
    }
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-inventory")), "-i", "static.yml", "--host", "head"],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    variables: dict[str, Any] = json.loads(done.stdout)
    return variables


def test_the_documented_example_serves_the_labs_hosts(tmp_path: Path) -> None:
    (tmp_path / "lab.yml").write_text(LAB_YML)
    for example in yaml.safe_load_all(plugin.EXAMPLES):
        head = served(tmp_path, yaml.safe_dump(example))
        assert (head["ansible_host"], head["ansible_user"], head["lab_site"]) == ("127.0.0.1", "admin", "static")


def test_a_plain_inventory_of_that_name_stays_one(tmp_path: Path) -> None:
    assert served(tmp_path, "all: {hosts: {head: {mine: 1}}}\n") == {"mine": 1}
