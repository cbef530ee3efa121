# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running lab of two hosts: what its hosts are, and how it is repaired. One lab for all tests, in order."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.paths import make_dir
from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import cgroup, maker, rootfs
from integration.provider.real_lab import RealLab

pytestmark = pytest.mark.root


def test_hosts_run_and_are_whole(pair: RealLab) -> None:
    assert [(host.name, host.state) for host in pair.provider.hosts()] == [("head", "running"), ("worker", "running")]
    for name in ("head", "worker"):
        assert pair.ssh(name, "systemctl is-system-running --wait") == "running"
        assert pair.ssh(name, "hostname") == name
    ids = {pair.ssh(name, "cat /etc/machine-id") for name in ("head", "worker")}
    assert len(ids) == 2 and all(len(text) == 32 for text in ids)


def test_hosts_know_each_other_and_themselves_by_lab_address(pair: RealLab) -> None:
    for name in ("head", "worker"):
        for other in ("head", "worker"):
            assert pair.ssh(name, f"getent ahostsv4 {other} | head -n1").split()[0] == pair.host(other).address
    assert "1 received" in pair.ssh("head", "ping -c 1 -W 2 worker")


def test_keys_are_the_only_way_in(pair: RealLab) -> None:
    settings = pair.ssh("head", "sshd -T").splitlines()
    assert {"passwordauthentication no", "kbdinteractiveauthentication no"} <= set(settings)
    assert "permitrootlogin without-password" in settings or "permitrootlogin prohibit-password" in settings
    without = ["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "IdentityAgent=none"]
    without += ["-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", f"root@{pair.host('head').address}"]
    done = subprocess.run([*without, "true"], check=False, capture_output=True, text=True, timeout=20)
    assert "Permission denied (publickey)" in done.stderr


def test_limits_are_set_where_the_kernel_has_them(pair: RealLab) -> None:
    group = cgroup.group_name(pair.id, "head")
    found = {
        key: (hierarchy / group / key).read_text().strip()
        for hierarchy in cgroup.mounted()
        for key in ("memory.limit_in_bytes", "memory.max", "cpu.cfs_quota_us", "cpu.max")
        if (hierarchy / group / key).exists()
    }
    if not found:
        pytest.skip("systemd keeps the limits here, or the kernel has none")
    expected = {str(256 * 2**20), "50000", "50000 100000"}
    assert set(found.values()) <= expected


def test_hosts_share_no_cgroup(pair: RealLab) -> None:
    groups = [set(cgroup.processes(cgroup.group_name(pair.id, name))) for name in ("head", "worker")]
    assert all(len(group) > 3 for group in groups)
    assert not groups[0] & groups[1]


def test_the_store_is_seen_and_read_only(pair: RealLab) -> None:
    probe = make_dir(maker.store_dir()) / f"probe-{pair.id}"
    probe.write_text("from the controller\n")
    try:
        seen = f"/var/lib/labctl/store/{probe.name}"
        assert pair.ssh("worker", f"cat {seen}") == "from the controller"
        assert "Read-only" in pair.ssh("worker", f"rm {seen} 2>&1; true")
    finally:
        probe.unlink()


def test_a_second_apply_changes_nothing(pair: RealLab) -> None:
    def traces() -> dict[str, object]:
        files = [*pair.lab.lab_dir.rglob("*"), *pair.layout.folder.glob("*.json")]
        mtimes: dict[str, object] = {str(path): path.stat().st_mtime_ns for path in files if path.is_file()}
        rules = subprocess.run(["iptables", "-S"], check=True, capture_output=True, text=True).stdout
        return mtimes | {"rules": [line for line in rules.splitlines() if pair.id in line]}

    before = traces()
    assert {change.action for change in pair.provider.plan()} == {"keep"}
    pair.up()
    assert traces() == before


def test_state_is_readable_without_privileges(pair: RealLab) -> None:
    script = f"import json; print(json.load(open({str(pair.layout.lab_file)!r}))['subnet'])"
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", script],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.count(".") == 3
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "ls", str(pair.layout.host_dir("head"))],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0, "a host's files are root's alone"


def test_a_killed_host_is_started_again_with_its_data(pair: RealLab) -> None:
    pair.ssh("head", "echo precious > /root/data; sync")
    identity, other = pair.ssh("head", "cat /etc/machine-id"), pair.pid("worker")
    os.kill(pair.pid("head"), signal.SIGKILL)
    deadline = time.monotonic() + 10
    while pair.host("head").state == "running":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    plan = {change.host: change.action for change in pair.provider.plan()}
    assert plan == {"head": "start", "worker": "keep"}
    pair.up()
    assert pair.ssh("head", "cat /root/data /etc/machine-id").split() == ["precious", identity]
    assert pair.pid("worker") == other


def test_a_host_that_powered_itself_off_is_started_again(pair: RealLab) -> None:
    pair.ssh("worker", "poweroff", check=False)
    deadline = time.monotonic() + 20
    while pair.host("worker").state == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert pair.host("worker").state == "stopped"
    pair.up()
    assert pair.ssh("worker", "hostname") == "worker"


def test_a_lost_bridge_is_made_again_under_running_hosts(pair: RealLab) -> None:
    record = pair.layout.lab()
    assert record is not None
    pids = [pair.pid(name) for name in ("head", "worker")]
    subprocess.run(["ip", "link", "delete", record.bridge], check=True)
    assert {(change.action, change.reason) for change in pair.provider.plan()} == {
        ("start", "the lab's bridge is missing")
    }
    pair.up()
    assert pair.ssh("head", "ping -c 1 -W 2 worker > /dev/null && hostname") == "head"
    assert [pair.pid(name) for name in ("head", "worker")] == pids


def test_lost_rules_are_set_again(pair: RealLab) -> None:
    listing = subprocess.run(["iptables", "-S", "FORWARD"], check=True, capture_output=True, text=True).stdout
    ours = [line for line in listing.splitlines() if pair.id in line]
    subprocess.run(["iptables", "-w", "-D", *ours[1].split()[1:]], check=True)
    assert "forwarding rules are missing" in {change.reason for change in pair.provider.plan()}
    pair.up()
    again = subprocess.run(["iptables", "-S", "FORWARD"], check=True, capture_output=True, text=True).stdout
    assert [line for line in again.splitlines() if pair.id in line] == ours


def test_lost_keys_are_made_again(pair: RealLab) -> None:
    shutil.rmtree(pair.lab.lab_dir / "ssh")
    pair.up()
    assert pair.ssh("head", "hostname") == "head"
    keys = pair.ssh("head", "grep -c ssh-ed25519 /root/.ssh/authorized_keys")
    assert keys == "1", "the lost key opens nothing any more"


def test_a_new_host_is_known_to_all_and_a_host_no_longer_named_stays(pair: RealLab) -> None:
    old = (pair.folder / "lab.yml").read_text()
    pid = pair.pid("head")
    pair.ssh("head", "echo 192.0.2.9 printer >> /etc/hosts")
    pair.write(old.replace("worker: {}", "extra: {}"))
    assert {change.host: change.action for change in pair.provider.plan()} == {
        "head": "keep",
        "extra": "create",
        "worker": "remove",
    }
    pair.up()
    assert pair.ssh("head", "getent hosts extra").split()[0] == pair.host("extra").address
    assert pair.ssh("extra", "getent hosts worker && getent hosts head")
    assert "printer" in pair.ssh("head", "cat /etc/hosts")
    assert pair.pid("head") == pid
    pair.write(old)
    assert pair.host("worker").state == "running", "apply never removes"


def test_a_limit_is_changed_under_a_running_host(pair: RealLab) -> None:
    text = (pair.folder / "lab.yml").read_text()
    group = cgroup.group_name(pair.id, "head")
    keys = ("memory.limit_in_bytes", "memory.max")
    places = [hierarchy / group / key for hierarchy in cgroup.mounted() for key in keys]
    files = [path for path in places if path.exists()]
    if not files:
        pytest.skip("systemd keeps the limits here, or the kernel has none")
    pair.write(text.replace("256MiB", "300MiB"))
    pair.up()
    assert files[0].read_text().strip() == str(300 * 2**20)


def test_hosts_links_do_not_lead_apply_out_of_their_root(pair: RealLab, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious\n")
    pair.ssh("worker", f"mkdir -p $(dirname {precious}); rm /etc/hosts; ln -s {precious} /etc/hosts")
    pair.up()
    assert precious.read_text() == "precious\n"
    assert rootfs.BEGIN not in precious.read_text()


def test_destroy_leaves_nothing_and_may_be_repeated(pair: RealLab) -> None:
    assert len(pair.leftovers()) > 10, "the search finds what there is"
    pair.ssh("head", "true")
    removed = pair.provider.destroy()
    assert {"host head", "host worker", "host extra", f"bridge labctl-{pair.id[:8]}"} <= set(removed)
    assert pair.leftovers() == []
    assert not (pair.lab.lab_dir / "ssh").exists()
    assert pair.provider.destroy() == []
    assert {host.state for host in pair.provider.hosts()} == {"absent"}
    assert json.dumps(removed)
