# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which change of an input makes which hosts stale, and that none is missed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab, load_lab
from ansible_collections.labctl.stacks.plugins.module_utils.providers.base import Host
from labctl.lab import digest
from labctl.lab.facts import declared, facts_of

KEY = b"k" * 32
SPEC = """\
name: demo
provider: nspawn
hosts:
  head: {groups: [hdfs_namenode, yarn_resourcemanager, mapred_historyserver]}
  worker: {count: 2, groups: [hdfs_datanode, yarn_nodemanager]}
stacks: [hadoop]
"""
EVERYONE = {"head", "worker1", "worker2"}
WORKERS = {"worker1", "worker2"}


class Folder:
    """A lab's folder, and who became stale since the last look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hosts = {
            name: Host(name, f"10.0.0.{number}", "running", {"lab_address": f"10.0.0.{number}", "lab_role": "x"})
            for number, name in enumerate(sorted(EVERYONE))
        }
        self.write("lab.yml", SPEC)
        self.write("nspawn.yml", "---\n# hosts\nplugin: labctl.stacks.nspawn\nlab: lab.yml\n")
        self.kept = self.look()

    @property
    def lab(self) -> Lab:
        return load_lab(self.path / "lab.yml")

    def write(self, name: str, text: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text, encoding="utf-8")

    def look(self) -> digest.Inputs:
        return digest.inputs(self.lab, self.hosts.values(), KEY)

    def changed(self) -> tuple[set[str], set[str]]:
        """The hosts some part of which changed, and the parts."""
        now = self.look()
        hosts, parts = set(), set()
        for host in sorted(EVERYONE):
            before, after = self.kept.of(host), now.of(host)
            different = {part for part in {*before, *after} if before.get(part) != after.get(part)}
            parts |= different
            if different:
                hosts.add(host)
        self.kept = now
        return hosts, parts


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_nothing_changes_by_itself_and_times_mean_nothing(folder: Folder) -> None:
    os.utime(folder.path / "lab.yml", (1, 1))
    assert folder.changed() == (set(), set())


@pytest.mark.parametrize(
    ("name", "text", "hosts"),
    [
        ("lab.yml", SPEC + "# a word\n", EVERYONE),
        ("nspawn.yml", "plugin: labctl.stacks.nspawn\n", EVERYONE),
        ("site.yml", "- import_playbook: mine.yml\n", EVERYONE),
        ("group_vars/all.yml", "a: 1\n", EVERYONE),
        ("group_vars/all/one.yml", "a: 1\n", EVERYONE),
        ("group_vars/ungrouped", "a: 1\n", EVERYONE),
        ("group_vars/hdfs_datanode.yml", "a: 1\n", WORKERS),
        ("group_vars/hdfs_datanode", "a: 1\n", WORKERS),
        ("group_vars/hdfs_datanode/deep/a.yml", "a: 1\n", WORKERS),
        ("group_vars/hdfs_namenode.json", "{}", {"head"}),
        ("group_vars/no_such_group.yml", "a: 1\n", EVERYONE),
        ("host_vars/worker2.yml", "a: 1\n", {"worker2"}),
        ("host_vars/worker2/a.yml", "a: 1\n", {"worker2"}),
        ("host_vars/worker3.yml", "a: 1\n", EVERYONE),
        ("host_vars/worker2.yml", "lab_address: 10.9.9.9\n", EVERYONE),
        (".labctl/secrets/password", "s\n", EVERYONE),
        (".labctl/secrets/inputs/0123", "s\n", set()),
        ("notes.txt", "a\n", set()),
    ],
)
def test_who_is_concerned(folder: Folder, name: str, text: str, hosts: set[str]) -> None:
    folder.write(name, text)
    found, parts = folder.changed()
    assert found == hosts
    assert len(parts) == bool(hosts)
    (folder.path / name).write_text(f"{text} ")
    assert folder.changed()[0] == hosts
    if name not in ("lab.yml", "nspawn.yml"):
        (folder.path / name).unlink()
        assert folder.changed()[0] == hosts


def test_a_peers_variable_makes_every_host_read_everybodys(folder: Folder) -> None:
    folder.write("group_vars/all.yml", "lab_address: '{{ mine }}'\n")
    folder.write("host_vars/worker1.yml", "mine: 10.0.0.7\n")
    folder.changed()
    folder.write("host_vars/worker1.yml", "mine: 10.0.0.8\n")
    assert folder.changed() == (EVERYONE, {"host_vars/worker1.yml"})


def test_a_composed_inventory_ties_all_hosts_together(folder: Folder) -> None:
    folder.write("nspawn.yml", "plugin: labctl.stacks.nspawn\nkeyed_groups: [{key: colour}]\n")
    folder.write("host_vars/worker1.yml", "colour: red\n")
    folder.changed()
    folder.write("host_vars/worker1.yml", "colour: blue\n")
    assert folder.changed()[0] == EVERYONE
    folder.hosts["worker1"] = replace(folder.hosts["worker1"], variables={"lab_role": "other"})
    assert folder.changed()[0] == EVERYONE


def test_an_address_concerns_all_and_a_hosts_other_variables_itself(folder: Folder) -> None:
    folder.hosts["worker1"] = replace(folder.hosts["worker1"], variables={**folder.hosts["worker1"].variables, "x": 1})
    assert folder.changed() == ({"worker1"}, {"its variables"})
    folder.hosts["worker1"] = replace(folder.hosts["worker1"], address="10.0.0.77")
    assert folder.changed() == (EVERYONE, {"hosts, groups and addresses"})


@pytest.mark.parametrize(
    "text",
    [
        "a: \"{{ lookup('env', 'HOME') }}\"",
        "a: \"{{ query ('file', 'x') }}\"",
        "a: '{{ now() }}'",
        "a: '{{ [1, 2] | random }}'",
        "a: \"{{ 'x' | password_hash }}\"",
        "a: \"{{ '/x' is exists }}\"",
        "a: \"{{ '/x' is not ansible.builtin.file }}\"",
        "a: \"{{ ansible_facts['kernel'] }}\"",
        "a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  00",
    ],
)
def test_what_depends_on_more_than_its_text_is_named(folder: Folder, text: str) -> None:
    folder.write("host_vars/worker1.yml", text)
    assert folder.look().impure == {"host_vars/worker1.yml"}
    folder.write("host_vars/worker1.yml", "a: a nowhere lookup of what is existing")
    assert folder.look().impure == set()


def test_a_composed_inventory_may_look_things_up(folder: Folder) -> None:
    folder.write("nspawn.yml", "plugin: labctl.stacks.nspawn\ncompose: {a: \"lookup('env', 'HOME')\"}\n")
    assert folder.look().impure == {"nspawn.yml"}


def _unreadable(path: Path) -> None:
    path.mkdir(parents=True)
    os.mkfifo(path / "worker1.yml")


def _endless(path: Path) -> None:
    path.mkdir(parents=True)
    (path / "worker1").symlink_to(path)


@pytest.mark.parametrize("make", [_unreadable, _endless], ids=["a pipe", "a link to itself"])
def test_what_cannot_be_read_is_never_the_same_twice(folder: Folder, make: Callable[[Path], None]) -> None:
    make(folder.path / "host_vars")
    assert folder.changed()[0]
    assert folder.changed()[0]


def test_links_are_followed_and_moved_ones_noticed(folder: Folder) -> None:
    folder.write("elsewhere/a.yml", "a: 1\n")
    (folder.path / "host_vars").mkdir()
    (folder.path / "host_vars/worker1").symlink_to(folder.path / "elsewhere")
    folder.changed()
    folder.write("elsewhere/a.yml", "a: 2\n")
    assert folder.changed()[0] == {"worker1"}
    (folder.path / "elsewhere/a.yml").unlink()
    assert folder.changed()[0] == {"worker1"}
    (folder.path / "host_vars/worker1").unlink()
    (folder.path / "host_vars/worker1").symlink_to("nowhere")
    assert folder.changed()[0] == {"worker1"}


def test_files_that_swap_content_or_names_are_noticed(folder: Folder) -> None:
    folder.write("host_vars/worker1/a", "bc")
    folder.write("host_vars/worker1/b", "c")
    folder.changed()
    folder.write("host_vars/worker1/a", "c")
    folder.write("host_vars/worker1/b", "bc")
    assert folder.changed()[0] == {"worker1"}
    (folder.path / "host_vars/worker1/b").rename(folder.path / "host_vars/worker1/c")
    assert folder.changed()[0] == {"worker1"}


def test_the_collection_is_told_by_its_parts(folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "collection"
    for name in ("galaxy.yml", "roles/hdfs/a.yml", "roles/yarn/a.yml", "plugins/modules/m.py", "playbooks/hadoop.yml"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("a: 1\n")
    monkeypatch.setattr(digest, "collection_root", lambda: copy)
    folder.changed()
    (copy / "roles/hdfs/a.yml").write_text("a: 2\n")
    assert folder.changed() == (EVERYONE, {"roles/hdfs"})
    (copy / "plugins/modules/__pycache__").mkdir()
    (copy / "plugins/modules/__pycache__/m.pyc").write_text("")
    assert folder.changed() == (set(), set())
    (copy / "roles/new/tasks").mkdir(parents=True)
    (copy / "roles/new/tasks/main.yml").write_text("")
    assert folder.changed() == (EVERYONE, {"roles/new"})


def test_the_real_collection_is_all_there() -> None:
    parts = digest.collection()
    nothing = digest.keyed(b"", b"")
    assert {
        "galaxy.yml",
        "meta",
        "playbooks",
        "artifacts",
        "plugins",
        "roles/hdfs",
        "roles/yarn",
        "roles/common",
    } <= set(parts)
    assert [part for part, found in parts.items() if found == nothing] == []


def test_tools_count_by_version(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = dict.fromkeys(digest.TOOLS, "1")
    monkeypatch.setattr(digest.metadata, "version", versions.__getitem__)
    folder.changed()
    versions["ansible-core"] = "2"
    assert folder.changed() == (EVERYONE, {"ansible-core"})


def test_secrets_that_a_run_made_are_taken_over_and_others_are_not(folder: Folder) -> None:
    folder.write(".labctl/secrets/old", "1")
    before = folder.look()
    folder.write(".labctl/secrets/new", "2")
    after = before.after(digest.secret_files(folder.lab, KEY))
    assert after.secrets == folder.look().secrets
    folder.write(".labctl/secrets/old", "changed by whoever")
    assert before.after(digest.secret_files(folder.lab, KEY)).secrets == after.secrets != folder.look().secrets


def test_digests_are_worth_nothing_without_the_key_which_is_ours_alone(folder: Folder) -> None:
    lab = folder.lab
    assert digest.lab_key(lab) != digest.lab_key(lab), "without a key nothing compares equal"
    assert digest.ensure_key(lab)
    assert not digest.ensure_key(lab)
    assert digest.lab_key(lab) == digest.lab_key(lab)
    assert (lab.lab_dir / "digest.key").stat().st_mode & 0o777 == 0o600
    own = digest.inputs(lab, folder.hosts.values(), digest.lab_key(lab)).of("head")
    other = folder.look().of("head")
    same = {part for part in own if own[part] == other[part]}
    assert same == {*digest.collection(), *digest.tools(), "how Ansible is started", "secrets"}


# What roles read ------------------------------------------------------------------------------------------------------

ROOT = digest.collection_root()
TEXTS = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for folder in ("roles", "playbooks")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".yml", ".j2")
}


def test_roles_read_no_variable_of_another_host_but_those_that_are_looked_at() -> None:
    read = {}
    for name, text in TEXTS.items():
        for match in re.finditer(r"\bhostvars\b", text):
            after = text[match.end() : match.end() + 90]
            attribute = re.match(
                r"(?:\) *\| *map\(attribute='|\[[^\]]+\]\.|\[[^\]]+\]\[')(\w+)",
                " ".join(after.split()).replace(" )", ")"),
            )
            read[f"{name}: {after.splitlines()[0]}"] = attribute[1] if attribute else "?"
    assert read, "the test looks at nothing"
    assert set(read.values()) <= set(digest.PEER_VARIABLES), read


def test_a_declared_fact_is_read_again(folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    role = tmp_path / "roles/nfs/meta"
    role.mkdir(parents=True)
    (role / "labctl.yml").write_text("facts: {kernel: uname -r, two words: printf 'a\\nb\\n'}\n")
    wanted = declared(tmp_path)
    assert wanted == {"nfs: kernel": "uname -r", "nfs: two words": "printf 'a\\nb\\n'"}
    assert declared(tmp_path, {"nfs", "hdfs"}) == wanted
    assert declared(tmp_path, {"hdfs"}) == {}, "a lab is asked for what its own roles depend on"
    program = tmp_path / "bin/ssh"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nfor script; do :; done\n[ ! -e "$0.dead" ] && exec sh -c "$script"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    facts = facts_of(folder.lab, ["head"], wanted)
    assert facts == {"head": {"fact nfs: kernel": os.uname().release, "fact nfs: two words": "a\nb"}}
    now = digest.inputs(folder.lab, folder.hosts.values(), KEY, facts)
    assert now.of("head").keys() - folder.kept.of("head").keys() == facts["head"].keys()
    assert now.of("worker1") == folder.kept.of("worker1")
    program.with_name("ssh.dead").touch()
    assert facts_of(folder.lab, ["head"], wanted) != facts_of(folder.lab, ["head"], wanted), "no answer is no equal one"


def test_roles_depend_on_no_fact_that_they_do_not_declare() -> None:
    plain = "date_time|env|kernel|memtotal_mb|processor\\w*|default_ipv4|hostname|fqdn|distribution\\w*|architecture"
    facts = rf"ansible_facts(?:\.|\[')(\w+)|\bansible_(?:{plain})\b"
    names = {fact.partition(": ")[2] for fact in declared()}
    used = {(name, match[1] or match[0]) for name, text in TEXTS.items() for match in re.finditer(facts, text)}
    assert {(name, fact) for name, fact in used if fact not in names} == set()
    gathered = [
        name for name, text in TEXTS.items() if re.search(r"gather_facts: *true|\bsetup:|\bgather_facts:\s*$", text)
    ]
    assert gathered == [] or names


def test_roles_look_up_nothing_outside_of_what_is_looked_at() -> None:
    pure = {"ansible.builtin.template", "labctl.stacks.secret"}
    used = {
        (name, match[1])
        for name, text in TEXTS.items()
        for match in re.finditer(r"\b(?:lookup|query|q)\(\s*'([\w.]+)'", text)
    }
    assert {(name, plugin) for name, plugin in used if plugin not in pure} == set()
    impure = re.compile(r"\bnow\(|\|\s*(?:random|shuffle|password_hash|fileglob|expandvars)\b")
    assert [name for name, text in TEXTS.items() if impure.search(text)] == []
