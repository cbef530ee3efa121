# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the frozen conventional playbook of bench/baseline/conventional on a lab's hosts, by Ansible or by mitogen."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.labctl.stacks.plugins.module_utils.providers import provider_for

from bench.session import BASELINE, SCRIPTS, BenchLab, Took, store_tree, timed

FOLDER = BASELINE / "conventional"
GROUPS = {
    "hdfs_namenode": "namenode",
    "hdfs_datanode": "datanode",
    "yarn_resourcemanager": "resourcemanager",
    "yarn_nodemanager": "nodemanager",
    "mapred_historyserver": "historyserver",
}
_RECAP = re.compile(r"^(\S+)\s+: (ok=.*)$", re.MULTILINE)


def inventory(lab: BenchLab) -> dict[str, Any]:
    """A plain inventory of the lab's hosts, as who uses Ansible alone would write it."""
    hosts = provider_for(lab.lab).hosts()
    controller = hosts[0].variables["lab_controller_addresses"][0]
    tree = f"/var/lib/labctl/store/trees/{store_tree().name}"
    return {
        "all": {
            "vars": {"ansible_user": "root", "hadoop_tree": tree, "hadoop_controller": controller},
            "hosts": {host.name: {"ansible_host": host.address} for host in hosts},
            "children": {
                GROUPS[group]: {"hosts": {member: {} for member in members}}
                for group, members in lab.lab.groups().items()
            },
        }
    }


def play(lab: BenchLab, *, mitogen: bool = False, playbook: str = "site.yml", limit: str = "all") -> Took:
    """One run of the playbook. SystemExit where it fails."""
    path = lab.folder / "conventional.yml"
    path.write_text(yaml.safe_dump(inventory(lab)))
    ssh = lab.folder / ".labctl/ssh"
    env = {
        "ANSIBLE_CONFIG": str(FOLDER / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_SSH_ARGS": (
            "-o ControlMaster=auto -o ControlPersist=10m -o GSSAPIAuthentication=no"
            " -o PreferredAuthentications=publickey"
            f" -o IdentityFile={ssh / 'id_ed25519'} -o UserKnownHostsFile={ssh / 'known_hosts'}"
        ),
    }
    if mitogen:
        env |= {"ANSIBLE_STRATEGY": "mitogen_linear", "ANSIBLE_STRATEGY_PLUGINS": str(strategy_folder())}
    argv = ("-i", path, "--limit", limit, FOLDER / playbook)
    return timed(SCRIPTS / "ansible-playbook", *argv, cwd=FOLDER, env=env)


def strategy_folder() -> Path:
    """Where mitogen keeps its strategies; SystemExit where it is not installed."""
    found = importlib.util.find_spec("ansible_mitogen")
    if found is None or found.origin is None:
        raise SystemExit("mitogen is not installed: pip install --editable '.[bench]'")
    return Path(found.origin).parent / "plugins/strategy"


def counts(out: str) -> dict[str, int]:
    """The sums over all hosts of a play's recap: ok, changed, failed, skipped and so on; empty where there is none."""
    found: dict[str, int] = {}
    for _, text in _RECAP.findall(out):
        for name, number in re.findall(r"(\w+)=(\d+)", text):
            found[name] = found.get(name, 0) + int(number)
    return found
