# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A converged lab on real hosts: nothing to do costs no Ansible, whatever is to be done is noticed and done once.

One host runs all of Hadoop, another only has its commands. No `up` proves that the cluster works: that takes
longer than all the rest, and test_hadoop_lab.py does it. The tests run in this order, and each leaves the lab settled.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.lab import load_lab
from ansible_collections.labctl.stacks.plugins.module_utils.providers import provider_for
from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import rootfs

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="makes hosts, which needs root")]

BIN = Path(sys.executable).parent
CANARY = "canary-7d1f0c93"
LAB = """\
name: e2e-fast
provider: nspawn
hosts:
  main:
    groups: [hdfs_namenode, hdfs_datanode, yarn_resourcemanager, yarn_nodemanager, mapred_historyserver]
    memory: 3GiB
  client: {groups: [hadoop_client], memory: 1GiB}
stacks: [hadoop]
"""


class Lab:
    """A lab folder, and the command in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "NO_COLOR": "1"}

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=400, check=False
        )

    def labctl(self, *argv: str, code: int = 0) -> str:
        done = self.run("labctl", *argv)
        assert done.returncode == code, f"labctl {argv} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def plan(self) -> Any:
        return json.loads(self.labctl("plan", "--json"))

    def stale(self) -> dict[str, list[str]]:
        return dict(self.plan()["stacks"][0]["hosts"])

    def last(self) -> Any:
        return json.loads(self.labctl("runs", "show", "last", "--json"))

    def on(self, host: str, script: str) -> str:
        done = self.run("ssh", "-F", ".labctl/ssh/config", host, script)
        assert done.returncode == 0, f"{host}: {script!r} ended with {done.returncode}: {done.stderr}"
        return done.stdout

    def footprint(self) -> dict[str, str]:
        """When each daemon was started, and inode and times of everything that labctl manages."""
        names = "$(systemctl list-units -q --plain --no-legend 'hdfs-*' 'yarn-*' 'mapred-*' 'labctl-*' | cut -d' ' -f1)"
        script = (
            f"systemctl show -p Id,InvocationID,ActiveEnterTimestampMonotonic {names};"
            "stat -c '%n %i %y %z' /etc/hadoop/* /usr/local/bin/* /var/lib/labctl/manifest.d/*"
        )
        return {host: self.on(host, script) for host in ("main", "client")}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("fast")
    (folder / "lab.yml").write_text(LAB, encoding="utf-8")
    lab = Lab(folder)
    try:
        lab.labctl("up", "--skip-check")
        yield lab
    finally:
        lab.run("labctl", "down", "--yes")


def settled(lab: Lab) -> None:
    """The next `up` finds nothing to do."""
    assert lab.labctl("up", "--skip-check").startswith("Lab e2e-fast is up (nothing to change, ")
    assert lab.last()["command"] == "noop", lab.last().get("why")


def announced(lab: Lab) -> list[str]:
    return sorted(lab.labctl("up", "--check").splitlines())


def done(lab: Lab) -> list[str]:
    """What the last run changed, in the form `up --check` announces it."""
    changed = [change for playbook in lab.last()["playbooks"][:1] for change in playbook["changed"]]
    return sorted(f"{host}: {task}" for host, task in changed)


def test_nothing_to_do_imports_no_ansible_and_touches_nothing(lab: Lab) -> None:
    before = lab.footprint()
    for _ in range(3):
        settled(lab)
    assert lab.footprint() == before
    traced = lab.run(sys.executable, "-X", "importtime", "-m", "labctl", "up", "--skip-check")
    assert traced.returncode == 0, traced.stderr
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in traced.stderr.splitlines()}
    assert "labctl" in imported
    assert imported & {"ansible", "ansible_runner", "jinja2", "cryptography", "rich"} == set()
    assert lab.labctl("plan") == "stack hadoop: prove that it works\n"
    assert lab.labctl("diff", "--exit-code") == "no difference\n"
    assert lab.labctl("up", "--check") == "nothing to change\n"


def test_an_edited_file_is_shown_and_mended_on_its_host_alone(lab: Lab) -> None:
    lab.on("client", "sed -i 's/<configuration>/<configuration><!-- mine -->/' /etc/hadoop/core-site.xml")
    lab.on("client", "chmod 0600 /etc/hadoop/hdfs-site.xml; rm /usr/local/bin/yarn")
    before = lab.footprint()["main"]
    assert set(lab.stale()) == {"client"}
    shown = lab.labctl("diff", "--exit-code", code=8)
    assert "--- client:/etc/hadoop/core-site.xml, as it is" in shown
    assert re.search(r"^-.*<configuration><!-- mine -->", shown, re.MULTILINE), shown
    assert "client: file /etc/hadoop/hdfs-site.xml: mode: 0600 instead of 0644" in shown
    assert "+++ client:/usr/local/bin/yarn, as it should be" in shown
    foreseen = announced(lab)
    lab.labctl("up", "--skip-check")
    assert lab.last()["playbooks"][0]["limit"] == ["client"]
    assert done(lab) == foreseen != []
    assert lab.footprint()["main"] == before
    settled(lab)


def test_drift_of_one_role_runs_what_mends_it_and_no_more(lab: Lab) -> None:
    def others() -> dict[str, list[str]]:
        theirs = ("/etc/hadoop/log4j.properties", "/manifest.d/hdfs.json")
        return {
            host: [line for line in text.splitlines() if not any(one in line for one in theirs)]
            for host, text in lab.footprint().items()
        }

    before = others()
    lab.on("client", "echo '# mine' >> /etc/hadoop/log4j.properties")
    foreseen = announced(lab)
    lab.labctl("up", "--skip-check")
    (playbook,) = lab.last()["playbooks"]
    assert (playbook["limit"], playbook["tags"]) == (["client"], ["hdfs_install", "hdfs_configure", "hdfs_service"])
    assert done(lab) == foreseen != []
    assert others() == before, "nothing restarted, and yarn's manifest is untouched"
    settled(lab)


def test_a_stopped_unit_is_started_again(lab: Lab) -> None:
    lab.on("main", "systemctl stop mapred-historyserver")
    assert any("mapred-historyserver.service" in reason for reason in lab.stale()["main"])
    foreseen = announced(lab)
    lab.labctl("up", "--skip-check")
    assert done(lab) == foreseen != []
    assert lab.on("main", "systemctl is-active mapred-historyserver") == "active\n"
    settled(lab)


def test_a_manifest_that_is_gone_is_written_again(lab: Lab) -> None:
    lab.on("client", "rm /var/lib/labctl/manifest.d/yarn.json")
    assert set(lab.stale()) == {"client"}
    lab.labctl("up", "--skip-check")
    assert lab.last()["playbooks"][0]["limit"] == ["client"]
    settled(lab)


def test_an_empty_host_of_the_same_name_is_noticed_and_converged_alone(lab: Lab) -> None:
    """Its name, address and keys are those of before: the provider has nothing to say about it."""
    before = lab.footprint()["main"]
    lab.run("ssh", "-F", ".labctl/ssh/config", "client", "systemctl poweroff")
    provider = provider_for(load_lab(lab.folder / "lab.yml"))
    deadline = time.monotonic() + 60
    while any(host.name == "client" and host.state == "running" for host in provider.hosts()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    folder = next(Path("/var/lib/labctl/nspawn").glob("e2e-fast-*/**/client/upper")).parent
    rootfs.unmount(folder)
    kept = ("etc/ssh/ssh_host_ed25519_key", "etc/hosts", "etc/hostname", "etc/machine-id", "etc/resolv.conf")
    kept += ("root/.ssh/authorized_keys", "etc/systemd/network/10-host0.network")
    script = f"mv upper old && mkdir upper work && (cd old && tar -c {' '.join(kept)}) | tar -xC upper && rm -r old"
    subprocess.run(["bash", "-ec", f"rm -r work; {script}; chmod 755 upper"], cwd=folder, check=True)
    provider.apply()
    remains = "ls /var/lib/labctl/manifest.d /opt/hadoop /etc/hadoop 2>/dev/null || echo empty"
    assert lab.on("client", remains) == "empty\n"
    assert set(lab.stale()) == {"client"}
    lab.labctl("up", "--skip-check")
    assert lab.last()["playbooks"][0]["limit"] == ["client"]
    assert lab.on("client", "ls /opt/hadoop/lib | grep -c hadoop-hdfs-3") == "1\n"
    assert lab.footprint()["main"] == before
    settled(lab)


def test_a_changed_input_makes_those_stale_whom_it_concerns(lab: Lab) -> None:
    spec = lab.folder / "lab.yml"
    spec.write_text(LAB + "vars: {hdfs_namenode_java_opts: -Xmx300m}\n", encoding="utf-8")
    assert lab.stale() == {"main": ["lab.yml changed"], "client": ["lab.yml changed"]}
    spec.write_text(LAB, encoding="utf-8")
    assert lab.stale() == {}, "the same bytes again are the same input again"


def test_variables_of_one_host_concern_that_host_and_get_into_no_record(lab: Lab) -> None:
    (lab.folder / "host_vars").mkdir()
    text = f"hdfs_settings: {{core-site: {{labctl.e2e: {CANARY}}}}}\nsome_password: {CANARY}\n"
    (lab.folder / "host_vars/client.yml").write_text(text, encoding="utf-8")
    assert lab.stale() == {"client": ["host_vars/client.yml is new"]}
    lab.labctl("up", "--skip-check", "-vvvv")
    assert CANARY in lab.on("client", "cat /etc/hadoop/core-site.xml")
    assert lab.last()["playbooks"][0]["limit"] == ["client"]
    kept = [path for path in (lab.folder / ".labctl").rglob("*") if path.is_file() and "secrets" not in path.parts]
    assert [path for path in kept if CANARY in path.read_text(errors="replace")] == []
    settled(lab)


def test_no_secret_shows_at_vvvv_in_records_in_output_or_in_journals(lab: Lab) -> None:
    """In variables of the lab, of groups and on the command line, in the lab's folder of secrets, in a file's text."""
    places = {place: f"{CANARY}-{place}" for place in ("lab", "group", "folder", "text", "extra")}
    settings = f"hdfs_settings: {{core-site: {{labctl.secret: {places['text']}}}}}"
    spec = lab.folder / "lab.yml"
    spec.write_text(LAB + f"vars: {{lab_password: {places['lab']}, {settings}}}\n", encoding="utf-8")
    (lab.folder / "group_vars").mkdir()
    (lab.folder / "group_vars/all.yml").write_text(f"group_password: {places['group']}\n", encoding="utf-8")
    secrets = lab.folder / ".labctl/secrets"
    secrets.mkdir(mode=0o700, exist_ok=True)
    (secrets / "password").write_text(places["folder"])
    output = ""
    for argv in (["up", "--skip-check", "-vvvv"], ["up", "--skip-check", "--full", "-vvvv"], ["plan"], ["diff"]):
        done = lab.run("labctl", *argv)
        assert done.returncode == 0, done.stdout + done.stderr
        output += done.stdout + done.stderr
    plain = lab.run(
        *("ansible-playbook", "labctl.stacks.hadoop", "-i", "nspawn.yml", "-vvvv"),
        *("-e", f"extra_password={places['extra']}"),
    )
    assert plain.returncode == 0, plain.stdout + plain.stderr
    output += plain.stdout + plain.stderr
    assert "ESTABLISH SSH CONNECTION" in output, "this was not at -vvvv"
    assert places["text"] in lab.on("main", "cat /etc/hadoop/core-site.xml"), "the setting did not arrive"
    # Plain Ansible repeats the command line it was given; labctl takes no such variables.
    shown = [line for line in output.splitlines() if not line.startswith("extra_vars: (")]
    assert [line for line in shown if CANARY in line] == []
    kept = [path for path in (lab.folder / ".labctl").rglob("*") if path.is_file() and "secrets" not in path.parts]
    assert [path for path in kept if CANARY in path.read_text(errors="replace")] == []
    for host in ("main", "client"):
        assert lab.on(host, f"journalctl --no-pager -a | grep -c {CANARY} || true") == "0\n"
        found = f"grep -rlF {CANARY} /var/lib/labctl /var/log /tmp /root /run/systemd 2>/dev/null || true"
        assert lab.on(host, found) == ""
    spec.write_text(LAB, encoding="utf-8")
    (lab.folder / "group_vars/all.yml").unlink()
    (lab.folder / "group_vars").rmdir()
    lab.labctl("up", "--skip-check")
    settled(lab)


def test_a_run_can_be_looked_up(lab: Lab) -> None:
    rows = json.loads(lab.labctl("runs", "list", "--json"))
    assert {row["result"] for row in rows} == {"done"}
    first = json.loads(lab.labctl("runs", "show", rows[0]["run"], "--json"))
    assert first["resolved"]["stacks"] == ["hadoop"]
    assert first["artifacts"]["hadoop"]["digest"]
    things = json.loads((lab.folder / ".labctl/runs" / rows[0]["run"] / "hosts.json").read_text())
    assert set(things) == {"main", "client"}
    assert "unit hdfs-namenode.service" in things["main"]["things"]["hdfs"]


def test_a_run_is_made_again_and_comes_out_the_same(lab: Lab) -> None:
    first = json.loads(lab.labctl("runs", "list", "--json"))[0]["run"]
    again = Lab(lab.folder / "again")
    try:
        said = json.loads(lab.labctl("replay", first, "--into", "again", "--skip-check", "--json"))
        assert (said["lab"], said["differences"]) == ("again", [])
        assert not (again.folder / "host_vars").exists(), "that run had none"
        assert again.on("client", "cat /etc/hostname") == lab.on("client", "cat /etc/hostname")
    finally:
        again.run("labctl", "down", "--yes")
