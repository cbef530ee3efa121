# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An NFS lab from nothing to nothing, as its user sees it. The server's behaviour towards clients is in molecule/nfs.

The tests are the chapters of one story and run in this order; a chapter leaves the lab converged.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="makes hosts, which needs root")]

BIN = Path(sys.executable).parent
NAME = "e2e-nfs"


class Story:
    """A lab folder made by `labctl init`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "NO_COLOR": "1", "ANSIBLE_PIPELINING": "true"}

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=300, check=False
        )

    def labctl(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return self.run("labctl", *argv)

    def ok(self, *argv: str) -> str:
        done = self.labctl(*argv)
        assert done.returncode == 0, (
            f"labctl {' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
        return done.stdout + done.stderr

    def on(self, host: str, script: str) -> str:
        done = self.run("ssh", "-F", ".labctl/ssh/config", host, script)
        assert done.returncode == 0, f"{host}: {script!r} ended with {done.returncode}: {done.stderr}"
        return done.stdout.strip()

    def set(self, **variables: object) -> None:
        """The variables of lab.yml."""
        spec = self.folder / "lab.yml"
        body = yaml.safe_load(spec.read_text())
        spec.write_text(yaml.safe_dump({**body, "vars": variables}, sort_keys=False))


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("e2e") / NAME
    story = Story(folder.parent)
    story.ok("init", "--stack", "nfs", "--provider", "nspawn", NAME)
    story.folder = folder
    yield story
    story.labctl("down", "--yes")


HAS_CLIENT = "nfs4" in Path("/proc/filesystems").read_text().split()


@pytest.mark.skipif(HAS_CLIENT, reason="this machine's kernel has an NFS client")
def test_a_kernel_without_an_nfs_client_is_named_with_the_mend_before_anything_is_changed(story: Story) -> None:
    done = story.labctl("up")
    assert done.returncode == 5, done.stderr
    release = os.uname().release
    for client in ("client1", "client2"):
        assert (
            f"{client}, nfs: Preflight | See what the host can do of NFS: this host lacks what NFS needs" in done.stderr
        )
    assert f"NFS client: kernel {release} has no nfs4 (/proc/filesystems)" in done.stderr
    assert "set nfs_mounts_enabled: false" in done.stderr
    assert "Traceback" not in done.stderr
    assert story.on("client1", "ls /var/lib/labctl/manifest.d") == "nfs.json", "the check of names is recorded"
    assert story.on("client1", "systemctl list-units --plain --no-legend '*.mount' | grep -c nfs || true") == "0"


def test_up_exports_and_proves_it(story: Story) -> None:
    story.set(nfs_mounts_enabled=HAS_CLIENT)
    output = story.ok("up")
    for client in ("client1", "client2"):
        assert re.search(rf"{client} wrote \d+ bytes to store:/shared and read them back", output), output
        assert f"{client} read what 1 others wrote there" in output
    assert "root of a client is nobody" in " ".join(output.split())
    assert story.on("store", "ls -A /srv/nfs/shared") == "", "the proof left something"


def test_a_second_up_by_either_way_changes_nothing(story: Story) -> None:
    before = story.on("store", "systemctl show -P InvocationID nfs-ganesha nfs-server")
    for words in (["up"], ["up", "--full"]):
        assert "nothing to change" in story.ok(*words)
    plain = story.run("ansible-playbook", "site.yml", "-i", "nspawn.yml")
    assert plain.returncode == 0, plain.stdout + plain.stderr
    assert set(re.findall(r"changed=(\d+)", plain.stdout)) == {"0"}, plain.stdout
    assert story.on("store", "systemctl show -P InvocationID nfs-ganesha nfs-server") == before


def test_the_proof_can_be_had_again_at_once(story: Story) -> None:
    for _ in range(2):
        assert "Passed: nfs" in story.ok("check")


def test_an_export_that_comes_and_goes(story: Story) -> None:
    exports = [{"path": "/shared"}, {"path": "/more", "clients": ["client1"]}]
    story.set(nfs_mounts_enabled=HAS_CLIENT, nfs_exports=exports)
    story.ok("up")
    assert story.on("client1", "date > /tmp/x; nfs-cp /tmp/x 'nfs://store/more/x?version=4' && echo done").endswith(
        "done"
    )
    story.set(nfs_mounts_enabled=HAS_CLIENT)
    story.ok("up")
    refused = story.run("ssh", "-F", ".labctl/ssh/config", "client1", "nfs-cat 'nfs://store/more/x?version=4'")
    assert refused.returncode != 0
    assert story.on("store", "ls /srv/nfs/more") == "x", "what was stored outlives its export"
    story.on("store", "rm -r /srv/nfs/more")


def test_what_somebody_changed_is_noticed_and_put_back(story: Story) -> None:
    story.on("store", "sed -i s/Root_Squash/No_Root_Squash/ /etc/ganesha/ganesha.conf; systemctl restart nfs-ganesha")
    plan = story.labctl("plan").stdout
    assert "/etc/ganesha/ganesha.conf" in plan
    story.ok("up")
    assert "No_Root_Squash" not in story.on("store", "cat /etc/ganesha/ganesha.conf")
    story.on(
        "client1",
        "date > /tmp/y; for i in $(seq 40); do nfs-cp /tmp/y 'nfs://store/shared/y?version=4' && break; sleep 1; done",
    )
    assert story.on("store", "stat -c %u /srv/nfs/shared/y") == "65534", "the server still runs on what somebody wrote"
    assert "nothing to change" in story.ok("up")


def test_removing_the_stack_keeps_what_was_stored(story: Story) -> None:
    done = story.run("ansible-playbook", "labctl.stacks.nfs_remove", "-i", "nspawn.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert story.on("store", "ls /srv/nfs/shared") == "y"
    assert story.on("store", "ss -Hltn sport = :2049") == ""
    again = story.run("ansible-playbook", "labctl.stacks.nfs_remove", "-i", "nspawn.yml")
    assert set(re.findall(r"changed=(\d+)", again.stdout)) == {"0"}, again.stdout
