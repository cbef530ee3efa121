# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin, through Ansible's own inventory manager."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible import constants
from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.doc_fragments.constructed import ModuleDocFragment as Constructed
from ansible.template import is_trusted_as_template
from ansible_collections.labctl.stacks.plugins.doc_fragments.lab_inventory import ModuleDocFragment as LabFragment
from ansible_collections.labctl.stacks.plugins.inventory import nspawn as plugin
from ansible_collections.labctl.stacks.plugins.module_utils.lab import load_lab
from ansible_collections.labctl.stacks.plugins.module_utils.providers import Host
from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import state
from ansible_collections.labctl.stacks.plugins.plugin_utils.lab_inventory import hosts_from, lab_paths

HOSTILE = "{{ lookup('pipe', 'touch /tmp/owned') }}"
LAB_YML = f"""\
name: demo
provider: nspawn
hosts:
  head:
    groups: [hdfs_namenode, yarn_resourcemanager, mapred_historyserver]
    vars: {{motto: "{HOSTILE}", nested: [{{deep: "{HOSTILE}"}}]}}
  worker: {{count: 2, groups: [hdfs_datanode, yarn_nodemanager]}}
stacks: [hadoop]
vars: {{greeting: "{HOSTILE}"}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lab folder on a machine that has no labs."""
    monkeypatch.setattr(state, "nspawn_root", lambda: tmp_path / "machine")
    monkeypatch.setenv("LABCTL_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "lab.yml").write_text(LAB_YML)
    return tmp_path


def make_plugin() -> plugin.InventoryModule:
    """The plugin with its documented options. Ansible's loader would do this, but not where the collection has been
    imported plainly before; the last test goes through it in a process of its own."""
    documents = [plugin.DOCUMENTATION, LabFragment.DOCUMENTATION, Constructed.DOCUMENTATION]
    options = {key: value for text in documents for key, value in yaml.safe_load(text)["options"].items()}
    constants.config.initialize_plugin_configuration_definitions("inventory", plugin.InventoryModule.NAME, options)
    instance = plugin.InventoryModule()
    instance._load_name = plugin.InventoryModule.NAME
    instance._redirected_names = [plugin.InventoryModule.NAME]
    return instance


def parse(folder: Path, text: str = "plugin: labctl.stacks.nspawn\n", name: str = "nspawn.yml") -> InventoryData:
    (folder / name).write_text(text)
    inventory = InventoryData()
    make_plugin().parse(inventory, DataLoader(), str(folder / name), cache=False)
    return inventory


def templates_in(value: Any) -> list[str]:
    """Every string in a value that Ansible would evaluate."""
    if isinstance(value, dict):
        return [found for part in (*value, *value.values()) for found in templates_in(part)]
    if isinstance(value, (list, tuple)):
        return [found for part in value for found in templates_in(part)]
    return [value] if isinstance(value, str) and is_trusted_as_template(value) else []


def test_groups_hosts_and_variables_are_served_before_hosts_exist(folder: Path) -> None:
    inventory = parse(folder)
    groups = {name: [host.name for host in group.hosts] for name, group in inventory.groups.items()}
    assert groups["hdfs_datanode"] == ["worker1", "worker2"]
    assert groups["hadoop_client"] == [], "a play on a group without hosts is empty, not unknown"
    head = inventory.hosts["head"].vars
    assert head["lab_role"] == "hdfs_namenode"
    assert head["labctl_lab_file"] == str(folder / "lab.yml")
    assert head["labctl_lab_dir"] == str(folder / ".labctl")
    assert "ansible_host" not in head
    assert inventory.groups["all"].vars["labctl_lab_file"] == str(folder / "lab.yml")


def test_no_string_of_a_lab_is_ever_a_template(folder: Path) -> None:
    inventory = parse(folder)
    assert inventory.groups["all"].vars["greeting"] == HOSTILE
    assert inventory.hosts["head"].vars["nested"] == [{"deep": HOSTILE}]
    for entry in (*inventory.hosts.values(), *inventory.groups.values()):
        assert templates_in(entry.vars) == []


def test_the_user_may_compose_on_top(folder: Path) -> None:
    text = (
        "plugin: labctl.stacks.nspawn\nstrict: true\n"
        "compose: {label: lab_name ~ '/' ~ inventory_hostname}\n"
        "groups: {heads: lab_role == 'hdfs_namenode'}\n"
        "keyed_groups: [{key: lab_provider, prefix: by}]\n"
    )
    inventory = parse(folder, text)
    assert inventory.hosts["worker1"].vars["label"] == "demo/worker1"
    assert [host.name for host in inventory.groups["heads"].hosts] == ["head"]
    assert len(inventory.groups["by_nspawn"].hosts) == 3


def test_errors_of_the_lab_file_are_all_told(folder: Path) -> None:
    (folder / "lab.yml").write_text("name: demo\nprovider: nspawn\nhost: {}\nhosts: {a: {group: [x]}}\n")
    with pytest.raises(AnsibleParserError) as caught:
        parse(folder)
    message = str(caught.value)
    assert "lab.yml:3" in message and "lab.yml:4" in message


def test_a_lab_of_another_provider_is_refused(folder: Path) -> None:
    (folder / "lab.yml").write_text("name: demo\nprovider: static\nhosts: {a: {address: 192.0.2.1}}\n")
    with pytest.raises(AnsibleParserError, match="provider static"):
        parse(folder)


@pytest.mark.parametrize(
    ("name", "ours"), [("nspawn.yml", True), ("demo.nspawn.yaml", True), ("docker.yml", False), ("nspawn.ini", False)]
)
def test_files_are_ours_by_their_name(folder: Path, name: str, ours: bool) -> None:
    (folder / name).touch()
    assert make_plugin().verify_file(str(folder / name)) is ours


def test_hosts_from_keeps_the_order_and_the_groups_of_the_lab_file(folder: Path) -> None:
    lab = load_lab(folder / "lab.yml")
    hosts = [Host(spec.name, "", "absent", {"n": number}) for number, spec in enumerate(lab.hosts)]
    assert hosts_from(lab, hosts) == [
        ("head", {"n": 0}, ("hdfs_namenode", "yarn_resourcemanager", "mapred_historyserver")),
        ("worker1", {"n": 1}, ("hdfs_datanode", "yarn_nodemanager")),
        ("worker2", {"n": 2}, ("hdfs_datanode", "yarn_nodemanager")),
    ]


def test_the_lab_folder_lies_beside_the_inventory_file(tmp_path: Path) -> None:
    assert lab_paths(tmp_path / "nspawn.yml", "lab.yml", None) == (tmp_path / "lab.yml", None)
    assert lab_paths(tmp_path / "nspawn.yml", "lab.yml", ".") == (tmp_path / "lab.yml", tmp_path / ".")
    elsewhere = lab_paths(tmp_path / "nspawn.yml", "../other/lab.yml", None)
    assert elsewhere == (tmp_path / "../other/lab.yml", tmp_path / ".labctl")


def test_the_documented_examples_are_read(folder: Path) -> None:
    (folder / "labs/demo").mkdir(parents=True)
    (folder / "labs/demo/lab.yml").write_text(LAB_YML)
    (folder / "site").mkdir()
    (folder / "site/lab.yml").write_text(LAB_YML)
    for example in yaml.safe_load_all(plugin.EXAMPLES):
        inventory = parse(folder / "site", yaml.safe_dump(example))
        assert len(inventory.hosts) == 3
        assert inventory.hosts["head"].vars["lab_name"] == "demo"


def test_ansible_finds_the_plugin_and_its_options(folder: Path) -> None:
    (folder / "nspawn.yml").write_text("plugin: labctl.stacks.nspawn\ncompose: {twice: lab_name * 2}\n")
    program = Path(sys.executable).with_name("ansible-inventory")
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(Path(__file__).parents[3] / ".dev"),
        "HOME": str(folder),
    }
    done = subprocess.run(
        [str(program), "-i", str(folder / "nspawn.yml"), "--host", "worker1"],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    served = json.loads(done.stdout)
    assert served["twice"] == "demodemo"
    assert served["greeting"] == HOSTILE
