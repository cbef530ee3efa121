# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One lab from nothing to nothing, as its user sees it: labctl and plain ansible-playbook on the same hosts.

The tests are the chapters of one story and run in this order; a chapter leaves the lab converged.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="makes hosts, which needs root")]

BIN = Path(sys.executable).parent
NAME = "e2e-hadoop"


class Story:
    """A lab folder made by `labctl init`, and the two ways into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "NO_COLOR": "1", "ANSIBLE_PIPELINING": "true"}

    def run(self, *argv: str, timeout: float = 420) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=timeout, check=False
        )

    def labctl(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return self.run("labctl", *argv)

    def ok(self, *argv: str) -> str:
        done = self.labctl(*argv)
        assert done.returncode == 0, (
            f"labctl {' '.join(argv)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        )
        return done.stdout + done.stderr

    def on(self, host: str, script: str) -> str:
        done = self.run("ssh", "-F", ".labctl/ssh/config", host, script, timeout=60)
        assert done.returncode == 0, f"{host}: {script!r} ended with {done.returncode}: {done.stderr}"
        return done.stdout.strip()

    @property
    def lab_id(self) -> str:
        return (self.folder / ".labctl/id").read_text().strip()

    def starts(self) -> dict[str, str]:
        """When each daemon of the lab was last started."""
        units = "hdfs-* yarn-* mapred-* labctl-*"
        names = f"$(systemctl list-units -q --plain --no-legend {units} | cut -d' ' -f1)"
        listing = f"systemctl show -p Id,ActiveEnterTimestampMonotonic --value {names}"
        return {host: self.on(host, listing) for host in ("head", "worker1", "worker2")}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("e2e") / NAME
    story = Story(folder.parent)
    story.ok("init", "--stack", "hadoop", "--provider", "nspawn", NAME)
    story.folder = folder
    yield story
    story.labctl("down", "--yes")


def processes_naming(text: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (entry / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if int(entry.name) != os.getpid() and (text in words or text in environment):
            found.append(words)
    return found


def changes(output: str) -> int:
    """The sum of changed= over an ansible-playbook recap."""
    recap = re.findall(r"ok=\d+\s+changed=(\d+)", output)
    assert recap, output
    return sum(map(int, recap))


def test_ctrl_c_ends_with_130_and_leaves_no_process_of_ours_but_the_hosts(story: Story) -> None:
    up = subprocess.Popen(
        ["labctl", "up"], cwd=story.folder, env=story.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    deadline = time.monotonic() + 240
    while not list(story.folder.glob(".labctl/manifests/*/hdfs.sha256")):
        assert up.poll() is None, up.stdout.read().decode() if up.stdout else ""
        assert time.monotonic() < deadline, "labctl up did not begin to converge"
        time.sleep(0.1)
    up.send_signal(signal.SIGINT)
    output = up.communicate(timeout=60)[0].decode()
    assert up.returncode == 130, output
    assert "Traceback" not in output
    time.sleep(1)
    left = [words for words in processes_naming(str(story.folder)) if "nspawn" not in words and "ssh:" not in words]
    assert left == []


def test_the_same_command_again_finishes_and_proves_the_cluster(story: Story) -> None:
    output = story.ok("up")
    assert "blocks lie on worker1, worker2" in output
    assert re.search(r"counted words in (8|9|\d\d) splits, all \d{4,} words right", output)
    assert "tasks ran on worker1, worker2" in output
    assert "http://" in output
    assert "authenticates nobody" in output


def test_a_second_up_by_either_way_changes_nothing_and_restarts_nothing(story: Story) -> None:
    before = story.starts()
    assert all(value.count("service") >= 3 for value in before.values()), before
    for words in (["up"], ["up", "--full"]):
        output = story.ok(*words)
        assert re.search(r"nothing to change", output), output
        assert "authenticates nobody" not in output, "the notice comes once for each lab"
    plain = story.run("ansible-playbook", "site.yml", "-i", "nspawn.yml")
    assert plain.returncode == 0, plain.stdout + plain.stderr
    assert changes(plain.stdout) == 0, plain.stdout
    assert story.starts() == before


def test_check_mode_announces_what_the_run_then_does(story: Story) -> None:
    story.on(
        "worker1", "echo '<configuration/>' > /etc/hadoop/yarn-site.xml; rm /usr/local/bin/yarn; touch /etc/hadoop/kept"
    )
    before = story.starts()
    announced = story.run("ansible-playbook", "site.yml", "-i", "nspawn.yml", "--check", "--diff")
    assert story.on("worker1", "cat /etc/hadoop/yarn-site.xml") == "<configuration/>", "check mode wrote"
    assert "yarn.nodemanager.aux-services" in announced.stdout, "the diff does not show what is put back"
    done = story.run("ansible-playbook", "site.yml", "-i", "nspawn.yml")
    recap = re.compile(r"^(\w+)\s+: ok=\d+\s+changed=(\d+)", re.MULTILINE)
    assert recap.findall(announced.stdout) == recap.findall(done.stdout) != []
    after = story.starts()
    assert (after["head"], after["worker2"]) == (before["head"], before["worker2"]), "hosts without drift were touched"
    assert changes(story.run("ansible-playbook", "site.yml", "-i", "nspawn.yml").stdout) == 0


def test_a_changed_setting_restarts_what_runs_on_it_and_nothing_else(story: Story) -> None:
    before = story.starts()
    spec = story.folder / "lab.yml"
    original = spec.read_text()
    spec.write_text(original + "vars:\n  yarn_settings: {yarn-site: {labctl.e2e: '{{ 3 }} & <4>'}}\n")
    story.ok("up", "--skip-check")
    written = story.on("worker1", "cat /etc/hadoop/yarn-site.xml")
    assert "{{ 3 }} &amp; &lt;4&gt;" in written, "a string of lab.yml was evaluated or not escaped"
    after = story.starts()

    def of(listing: str, unit: str) -> str:
        lines = listing.splitlines()
        return (
            lines[lines.index(unit) + 1]
            if unit in lines and lines.index(unit) + 1 < len(lines)
            else lines[lines.index(unit) - 1]
        )

    spec.write_text(original)
    story.ok("up", "--skip-check")
    for host, unit in (
        ("head", "hdfs-namenode.service"),
        ("worker1", "hdfs-datanode.service"),
        ("head", "labctl-firewall.service"),
    ):
        assert of(after[host], unit) == of(before[host], unit), f"{unit} was restarted"
    assert of(after["worker1"], "yarn-nodemanager.service") != of(before["worker1"], "yarn-nodemanager.service")


class Watch(threading.Thread):
    """Looks at HDFS from the controller until :meth:`end`: which DataNodes take blocks, how many blocks are missing."""

    def __init__(self, hosts: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self.hosts = hosts
        self.down: list[frozenset[str]] = []
        self.missing: list[int] = []
        self._ended = threading.Event()

    def run(self) -> None:
        url = f"http://{self.hosts['head']}:9870/jmx?qry=Hadoop:service=NameNode,name=NameNodeInfo"
        while not self._ended.wait(0.05):
            down = set()
            for host in ("worker1", "worker2"):
                try:
                    socket.create_connection((self.hosts[host], 9866), timeout=1).close()
                except OSError:
                    down.add(host)
            self.down.append(frozenset(down))
            # The NameNode is restarted too, and meanwhile answers nothing, or with nothing.
            with (
                contextlib.suppress(OSError, ValueError, LookupError, http.client.HTTPException),
                urllib.request.urlopen(url, timeout=1) as answer,
            ):
                self.missing.append(json.load(answer)["beans"][0]["NumberOfMissingBlocks"])

    def end(self) -> None:
        self._ended.set()
        self.join()


def test_a_changed_setting_of_hdfs_restarts_one_datanode_after_the_other(story: Story) -> None:
    story.on("head", "head -c 3000000 /dev/urandom > /tmp/blocks && hdfs dfs -put -f /tmp/blocks /tmp/blocks")
    before = story.starts()
    status = json.loads(story.labctl("status", "--json").stdout)
    watch = Watch({host["name"]: host["address"] for host in status["hosts"]})
    spec = story.folder / "lab.yml"
    spec.write_text(spec.read_text() + "vars:\n  hdfs_settings: {hdfs-site: {dfs.datanode.handler.count: 11}}\n")
    watch.start()
    story.ok("up", "--skip-check")
    watch.end()
    assert {*watch.down} == {frozenset(), frozenset({"worker1"}), frozenset({"worker2"})}, "never both at once"
    assert {*watch.missing} == {0}
    after = story.starts()
    assert all(after[host] != before[host] for host in after)
    assert "11" in story.on("worker1", "cat /etc/hadoop/hdfs-site.xml")
    assert story.on("head", "hdfs dfs -cat /tmp/blocks | cmp - /tmp/blocks && hdfs dfs -rm -skipTrash /tmp/blocks")
    assert not (story.folder / ".labctl/rolling").exists()
    assert "nothing to change" in story.ok("up", "--skip-check")


def test_the_data_of_another_cluster_is_refused(story: Story) -> None:
    story.on("worker2", "sed -i.mine s/clusterID=.*/clusterID=CID-theirs/ /var/lib/hdfs/datanode/current/VERSION")
    try:
        refused = story.labctl("up", "--full")
        assert refused.returncode == 5
        assert "worker2" in refused.stderr
        assert "belongs to the cluster CID-theirs" in refused.stderr
    finally:
        story.on("worker2", "mv /var/lib/hdfs/datanode/current/VERSION.mine /var/lib/hdfs/datanode/current/VERSION")


def test_one_host_that_cannot_be_reached_does_not_stop_the_others(story: Story) -> None:
    root = next(Path("/var/lib/labctl/nspawn").glob(f"{NAME}-*/**/worker2/root")) / "root"
    story.on("worker1", "echo drift >> /etc/hadoop/log4j.properties")
    story.on("worker2", "chmod 0777 /root")  # sshd believes no keys in a home that others may write to
    story.run("ssh", "-F", ".labctl/ssh/config", "-O", "exit", "worker2")
    try:
        failed = story.labctl("up", "--full")
        assert failed.returncode == 5, failed.stdout + failed.stderr
        assert re.search(r"^  worker2, .*: could not be reached: ", failed.stderr, re.MULTILINE), failed.stderr
        assert "drift" not in story.on("worker1", "cat /etc/hadoop/log4j.properties"), "worker1 was not converged"
    finally:
        root.chmod(0o700)
    story.ok("up", "--skip-check")


def test_hosts_are_at_hand(story: Story) -> None:
    assert "Found" in story.ok("exec", "head", "--", "hdfs", "dfs", "-ls", "/")
    assert "NameNode" in story.ok("logs", "head", "hdfs-namenode")
    status = json.loads(story.labctl("--json", "status").stdout or story.labctl("status", "--json").stdout)
    assert {host["name"]: host["state"] for host in status["hosts"]} == dict.fromkeys(
        ("head", "worker1", "worker2"), "running"
    )
    inventory = json.loads(story.labctl("inventory").stdout)
    assert inventory["hdfs_datanode"]["hosts"] == ["worker1", "worker2"]


def test_down_leaves_nothing_and_twice_is_fine(story: Story) -> None:
    lab_id = story.lab_id
    short = lab_id[:8]
    story.ok("down", "--yes")
    assert list(processes_naming(short)) == []
    assert short not in Path("/proc/self/mountinfo").read_text()
    for command in (["ip", "link"], ["iptables-save"], ["ip", "route"]):
        assert short not in story.run(*command).stdout
    left = [
        f"{parent}/{name}"
        for root in ("/var/lib/labctl", "/sys/fs/cgroup", "/run", "/tmp")
        for parent, folders, files in os.walk(root)
        for name in folders + files
        if short in name
    ]
    assert left == []
    assert (story.folder / "lab.yml").exists(), "down took the user's own file"
    story.ok("down", "--yes")
