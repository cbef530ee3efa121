# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Six real hosts that do not see the store: the controller sends an artefact to two, and these to the other four."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.lab import load_lab
from ansible_collections.labctl.stacks.plugins.module_utils.providers import provider_for
from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import NspawnProvider
from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import catalogue
from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Resolved, Store
from integration.one_host import REPOSITORY

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="makes hosts, which needs root")]

HOSTS = [f"p{number}" for number in range(1, 7)]
PLAY = """\
- hosts: all
  gather_facts: false
  vars: {labctl_store: ''}
  tasks:
    - name: artefact
      labctl.stacks.artifact:
        role: lbp
        artifacts: [{name: hadoop, path: /opt/hadoop}]
        state: "{{ wanted | default('present') }}"
"""
SHARES = "systemctl list-units --all --plain --no-legend 'labctl-share-*'"
DIGESTS = "cd /opt/hadoop/ && find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum"


class Peers:
    """The hosts, and plain ansible-playbook on them."""

    def __init__(self, folder: Path, provider: NspawnProvider, size: int) -> None:
        self.folder = folder
        self.provider = provider
        self.size = size

    def play(self, *args: str) -> str:
        env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".dev"),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_NOCOLOR": "1",
        }
        argv = ["ansible-playbook", "play.yml", "-i", "nspawn.yml", "-f", "6", *args]
        done = subprocess.run(argv, cwd=self.folder, env=env, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
        return done.stdout + done.stderr

    def ssh(self, host: str, command: str) -> str:
        argv = ["ssh", "-F", str(self.provider.lab.lab_dir / "ssh/config"), host, command]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout.strip()

    def sent(self) -> int:
        """Bytes that this machine itself has sent to the lab; what goes from host to host does not count."""
        record = self.provider.layout.lab()
        assert record is not None
        return int(Path("/sys/class/net", record.bridge, "statistics/tx_bytes").read_text())


@pytest.fixture(scope="module")
def hadoop() -> Resolved:
    return Store().resolve(catalogue("hadoop"))


@pytest.fixture(scope="module")
def peers(hadoop: Resolved) -> Iterator[Peers]:
    with tempfile.TemporaryDirectory(prefix="labctl-test-") as name:
        folder = Path(name)
        hosts = ", ".join(f"{host}: {{}}" for host in HOSTS)
        (folder / "lab.yml").write_text(f"name: peers-test\nprovider: nspawn\nhosts: {{{hosts}}}\nstacks: []\n")
        (folder / "nspawn.yml").write_text("plugin: labctl.stacks.nspawn\nlab: lab.yml\n")
        (folder / "play.yml").write_text(PLAY)
        provider = provider_for(load_lab(folder / "lab.yml"))
        assert isinstance(provider, NspawnProvider)
        try:
            provider.preflight()
            provider.apply()
            yield Peers(folder, provider, Store().pack(hadoop).stat().st_size)
        finally:
            provider.destroy()


def right_everywhere(peers: Peers, hadoop: Resolved) -> bool:
    expected = subprocess.run(
        ["sh", "-c", DIGESTS.replace("/opt/hadoop/", str(hadoop.path))], capture_output=True, text=True, check=True
    ).stdout.strip()
    return {peers.ssh(host, DIGESTS) for host in HOSTS} == {expected}


def gone_everywhere(peers: Peers) -> bool:
    paths = "/opt/hadoop /opt/labctl /var/lib/labctl/manifest.d /run/labctl-share* /run/.labctl*"
    left = f"{SHARES}; ls -d {paths} 2>/dev/null"
    return {peers.ssh(host, left) for host in HOSTS} == {""}


def test_the_controller_sends_it_twice_for_six_hosts(peers: Peers, hadoop: Resolved) -> None:
    before = peers.sent()
    output = peers.play("-vvvv")
    sent = peers.sent() - before
    assert 1.9 * peers.size < sent < 2.3 * peers.size
    assert right_everywhere(peers, hadoop)
    assert output.count("changed=1") == 6
    assert not re.search(r"http://[0-9.]+:\d+/[\w-]{20}", output), "the token shows"
    sharing = [host for host in HOSTS if peers.ssh(host, SHARES)]
    assert len(sharing) == 2
    for host in sharing:
        # Fingerprints of ssh's keys are as long as a token.
        telling = r"GET /|import |[^0-9A-Za-z_-][0-9A-Za-z_-]{43}([^0-9A-Za-z_-]|$)"
        assert peers.ssh(host, f"journalctl --no-pager -a | grep -v SHA256: | grep -E '{telling}'") == ""
        uid = int(peers.ssh(host, "ps -eo uid,args | grep '[-]ISc'").split()[0])
        assert 61184 <= uid <= 65519, "it is not one of systemd's dynamic users"
    again = peers.play()
    assert again.count("changed=0") == 6
    peers.play("-e", "wanted=absent")
    assert gone_everywhere(peers)


def test_hosts_whose_peers_are_killed_get_it_from_the_controller(peers: Peers, hadoop: Resolved) -> None:
    kill = "systemctl kill --signal=KILL 'labctl-share-*'"
    for host in HOSTS:
        peers.ssh(host, f"(until {SHARES} | grep -q running; do sleep 0.05; done; sleep 0.3; {kill}) >/dev/null 2>&1 &")
    output = peers.play()
    assert "another host could not hand it on" in output
    assert right_everywhere(peers, hadoop)
    peers.play("-e", "wanted=absent")
    assert gone_everywhere(peers)
