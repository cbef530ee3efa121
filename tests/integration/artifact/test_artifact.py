# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""artifact on a real host, by the mounted store and by sending: run, again, check, harm, another lane, remove."""

from __future__ import annotations

import json

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import catalogue
from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Resolved, Store
from integration.one_host import OneHost

pytestmark = pytest.mark.root

#: Lane to the task variable that chooses it: a provider's own store mount, or none.
LANES = {"mounted": "", "sent": "vars: {labctl_store: ''}"}

LIFE = r"""
- name: predicted
  check_mode: true
  LANE
  labctl.stacks.artifact: &declared {role: lba, artifacts: [{name: hadoop, path: /opt/hadoop}]}
- name: first
  diff: true
  LANE
  labctl.stacks.artifact: *declared
- name: second
  LANE
  labctl.stacks.artifact: *declared
- name: another role
  LANE
  labctl.stacks.artifact: {role: lbb, artifacts: [{name: hadoop, path: /opt/hadoop}]}
- name: layout
  ansible.builtin.command: ls /opt/hadoop/ /opt/hadoop/webapps
- name: read by a daemon's user
  ansible.builtin.shell: setpriv --reuid=65534 --regid=65534 --clear-groups sha256sum -b /opt/hadoop/lib/*.jar
"""

REMOVE = r"""
- name: one role goes
  labctl.stacks.artifact: {role: lba, state: absent}
- name: still there
  ansible.builtin.command: test -e /opt/hadoop/lib
- name: removal predicted
  check_mode: true
  labctl.stacks.artifact: {role: lbb, state: absent}
- name: last role goes
  labctl.stacks.artifact: {role: lbb, state: absent}
- name: again
  labctl.stacks.artifact: {role: lbb, state: absent}
- name: left
  ansible.builtin.shell: ls -d /opt/hadoop /opt/labctl /var/lib/labctl/manifest.d/lb[ab].json 2>/dev/null; true
"""


def tasks(text: str, lane: str) -> str:
    return text.replace("  LANE\n", f"  {LANES[lane]}\n" if LANES[lane] else "")


@pytest.fixture(scope="module")
def hadoop() -> Resolved:
    return Store().resolve(catalogue("hadoop"))


@pytest.mark.parametrize("lane", LANES)
def test_life(host: OneHost, hadoop: Resolved, lane: str) -> None:
    run = host.run_playbook(tasks(LIFE, lane))
    assert run.rc == 0, run.stdout
    assert run.changed["predicted"]
    assert run.changed["first"]
    assert not run.changed["second"]
    assert not run.changed["another role"]
    assert run["predicted"]["changes"] == run["first"]["changes"]
    told = {"version": "3.5.0", "digest": hadoop.digest, "path": "/opt/hadoop", "source": "store"}
    assert run["first"]["artifacts"] == {"hadoop": told}
    assert run["second"]["manifest"] == run["first"]["manifest"]
    kept = (host.lab_dir / "manifests" / host.name / "lba.sha256").read_text().strip()
    assert kept == run["first"]["manifest"]["sha256"]
    target = host.ssh("readlink /opt/hadoop").strip()
    if lane == "mounted":
        assert target.endswith(f"/trees/{hadoop.digest}")
        assert host.ssh(f"touch {target}/evil 2>&1", check=False) != "", "hosts see the store read-only"
        assert host.ssh("ls /opt/labctl 2>&1", check=False).startswith("ls: cannot access")
    else:
        assert target == f"/opt/labctl/hadoop-3.5.0-{hadoop.digest[:12]}"
    assert set(run["layout"]["stdout"].split()) > {"lib", "examples", "webapps", "hdfs", "datanode", "static"}
    read = [line.split(" *") for line in run["read by a daemon's user"]["stdout_lines"]]
    found = {path.rsplit("/", 1)[1]: sha256 for sha256, path in read}
    assert found == {entry.path[4:]: entry.sha256 for entry in hadoop.entries if entry.path.startswith("lib/")}

    run = host.run_playbook(REMOVE)
    assert run.rc == 0, run.stdout
    assert run["removal predicted"]["changes"] == run["last role goes"]["changes"]
    assert not run.changed["again"]
    assert run["left"]["stdout"] == ""
    assert not (host.lab_dir / "manifests" / host.name / "lba.sha256").exists()


SEVERAL = r"""
- name: predicted
  check_mode: true
  LANE
  labctl.stacks.artifact: &both
    role: lba
    artifacts: [{name: zookeeper, path: /opt/zookeeper}, {name: hadoop, path: /opt/hadoop}]
- name: first
  diff: true
  LANE
  labctl.stacks.artifact: *both
- name: second
  LANE
  labctl.stacks.artifact: *both
- name: layout
  ansible.builtin.shell: ls -d /opt/zookeeper/lib /opt/hadoop/lib; ls -A ~/.ansible/tmp 2>/dev/null; true
- name: fewer predicted
  check_mode: true
  LANE
  labctl.stacks.artifact: &one {role: lba, artifacts: [{name: hadoop, path: /opt/hadoop}]}
- name: fewer
  LANE
  labctl.stacks.artifact: *one
- name: left
  ansible.builtin.shell: ls -d /opt/zookeeper /opt/hadoop /opt/labctl/zookeeper* 2>/dev/null; true
- name: gone
  labctl.stacks.artifact: {role: lba, state: absent}
- name: nothing
  ansible.builtin.shell: ls -d /opt/hadoop /opt/labctl /var/lib/labctl/manifest.d/lba.json 2>/dev/null; true
"""


@pytest.mark.parametrize("lane", LANES)
def test_several_come_in_one_task_and_go_when_they_are_not_listed_any_more(
    host: OneHost, hadoop: Resolved, lane: str
) -> None:
    zookeeper = Store().resolve(catalogue("zookeeper"))
    run = host.run_playbook(tasks(SEVERAL, lane))
    assert run.rc == 0, run.stdout
    assert run["predicted"]["changes"] == run["first"]["changes"]
    assert {name: one["digest"] for name, one in run["first"]["artifacts"].items()} == {
        "zookeeper": zookeeper.digest,
        "hadoop": hadoop.digest,
    }
    told = "".join(one["after"] for one in run["first"]["diff"])
    assert all(change.split(": ")[0] in told for change in run["first"]["changes"])
    assert not run.changed["second"]
    assert run["second"]["manifest"] == run["first"]["manifest"]
    assert run["layout"]["stdout_lines"] == ["/opt/hadoop/lib", "/opt/zookeeper/lib"], "or a tar was left"
    assert run["fewer predicted"]["changes"] == run["fewer"]["changes"]
    assert run.changed["fewer"]
    assert run["left"]["stdout"] == "/opt/hadoop"
    assert run["nothing"]["stdout"] == ""


HARM = r"""
- name: sent
  LANE
  labctl.stacks.artifact: &declared {role: lba, artifacts: [{name: hadoop, path: /opt/hadoop}]}
- name: harm
  ansible.builtin.shell: |
    rm /opt/hadoop/lib/hadoop-common-*.jar; echo evil > /opt/hadoop/lib/evil.jar; mkdir -p /opt/labctl/.new-0000/lib
- name: harm predicted
  check_mode: true
  LANE
  labctl.stacks.artifact: *declared
- name: mended
  LANE
  labctl.stacks.artifact: *declared
- name: quiet
  LANE
  labctl.stacks.artifact: *declared
- name: state
  ansible.builtin.shell: ls /opt/hadoop/lib | wc -l; ls -A /opt/labctl | wc -l
- name: other lane
  labctl.stacks.artifact: *declared
- name: copy gone
  ansible.builtin.shell: readlink /opt/hadoop; ls -d /opt/labctl 2>/dev/null; true
- name: gone
  labctl.stacks.artifact: {role: lba, state: absent}
"""


def test_harm_is_mended_and_the_copy_goes_when_the_store_is_mounted(host: OneHost, hadoop: Resolved) -> None:
    run = host.run_playbook(tasks(HARM, "sent"))
    assert run.rc == 0, run.stdout
    assert run["harm predicted"]["changes"] == run["mended"]["changes"]
    assert run.changed["mended"]
    assert not run.changed["quiet"]
    jars = sum(entry.path.startswith("lib/") for entry in hadoop.entries)
    assert run["state"]["stdout"].split() == [str(jars), "1"]
    assert run["copy gone"]["stdout_lines"][0].endswith(f"/trees/{hadoop.digest}")
    assert len(run["copy gone"]["stdout_lines"]) == 1


TROUBLE = r"""
- name: unknown name
  ignore_errors: true
  labctl.stacks.artifact: {role: lba, artifacts: [{name: hadop, path: /opt/hadoop}]}
- name: unknown version
  ignore_errors: true
  labctl.stacks.artifact: {role: lba, artifacts: [{name: hadoop, version: "9.9", path: /opt/hadoop}]}
- name: unknown source
  ignore_errors: true
  labctl.stacks.artifact: {role: lba, artifacts: [{name: hadoop, path: /opt/hadoop, source: tape}]}
- name: no path
  ignore_errors: true
  labctl.stacks.artifact: {role: lba, artifacts: [{name: hadoop}]}
- name: no list
  ignore_errors: true
  labctl.stacks.artifact: {role: lba, name: hadoop, path: /opt/hadoop}
- name: twice
  ignore_errors: true
  labctl.stacks.artifact:
    role: lba
    artifacts: [{name: hadoop, path: /opt/hadoop}, {name: hadoop, path: /opt/other}]
- name: internal option
  ignore_errors: true
  labctl.stacks.artifact: {role: lba, artifacts: [], bring: {name: hadoop, archive: /etc/shadow}}
- name: occupy
  ansible.builtin.file: {path: /opt/occupied/keep, state: directory}
- name: occupied path
  ignore_errors: true
  labctl.stacks.artifact: {role: lba, artifacts: [{name: hadoop, path: /opt/occupied}]}
- name: no folder
  ignore_errors: true
  labctl.stacks.artifact: {role: lba, artifacts: [{name: hadoop, path: /opt/no/where}]}
- name: store not mounted
  ignore_errors: true
  vars: {labctl_store: /mnt/elsewhere}
  labctl.stacks.artifact: {role: lba, artifacts: [{name: hadoop, path: /opt/hadoop}]}
- name: gone
  labctl.stacks.artifact: {role: lba, state: absent}
- name: kept
  ansible.builtin.command: ls -d /opt/occupied/keep
- name: tidy
  ansible.builtin.file: {path: /opt/occupied, state: absent}
"""


def test_trouble_is_named_with_its_mend(host: OneHost) -> None:
    run = host.run_playbook(TROUBLE)
    assert run.rc == 0, run.stdout
    expected = {
        "unknown name": ("no artefact 'hadop'", "Did you mean 'hadoop'?"),
        "unknown version": ("no version of hadoop '9.9'", "3.5.0"),
        "unknown source": ("no source 'tape'", "maven, archive"),
        "no path": ("artifact hadoop needs path", ""),
        "no list": ("artifact needs artifacts, a list", "{name: hadoop, path: /opt/hadoop}"),
        "twice": ("hadoop is listed twice", "another part"),
        "internal option": ("'bring' is not for use in playbooks", ""),
        "occupied path": ("/opt/occupied is there and is a directory", "another path"),
        "no folder": ("/opt/no/where: its folder is not there", "system module"),
        "store not mounted": ("/mnt/elsewhere/trees/", "labctl_store"),
    }
    assert run.failed == list(expected)
    for task, words in expected.items():
        assert all(word in run[task]["msg"] for word in words), (task, run[task]["msg"])
    assert "Traceback" not in run.stdout
    assert json.dumps(host.manifest("lba")) == "{}"
