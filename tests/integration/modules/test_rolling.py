# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A replicated service on three real hosts: members restart one at a time, none after one that did not come back.

The service is a small web server, healthy while two of its three members answer. It notes when it began to serve.
"""

from __future__ import annotations

import itertools
import json
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
from integration.one_host import REPOSITORY

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="makes hosts, which needs root")]

HOSTS = ("m1", "m2", "m3")
#: /health asks all members for /. It needs a while to start, and dies of "bad" at once, of "bad later" then.
SERVER = """\
import http.server, pathlib, sys, time, urllib.request
name, *peers = sys.argv[1:]
setting = pathlib.Path("/etc/store.conf").read_text().strip()
if setting == "bad":
    sys.exit("the setting is bad")
time.sleep(0.6)
if setting == "bad later":
    sys.exit("the setting is bad")
def answers(peer):
    try:
        return urllib.request.urlopen(f"http://{peer}:8123/", timeout=1).status == 200
    except OSError:
        return False
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        up = [peer for peer in peers if self.path == "/health" and answers(peer)]
        self.send_response(200 if self.path == "/" or len(up) >= 2 else 503)
        self.end_headers()
        self.wfile.write(f"{setting} {' '.join(up)}".encode())
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(("", 8123), Handler).serve_forever()
"""
PLAY = """\
- hosts: all
  gather_facts: false
  strategy: "{{ strategy | default('linear') }}"
  tasks:
    - name: config
      labctl.stacks.config_tree:
        role: store
        files:
          - {path: /etc/store.py, content: "{{ lookup('ansible.builtin.file', 'store.py') }}"}
          - {path: /etc/store.conf, content: "{{ setting }}\\n"}
      register: config
    - name: unit
      labctl.stacks.unit:
        role: store
        config_digest: "{{ config.digest }}"
        units:
          - name: store.service
            content: |
              [Service]
              Type=exec
              ExecStart=/usr/bin/python3 /etc/store.py {{ inventory_hostname }} {{ groups.all | join(' ') }}
              [Install]
              WantedBy=multi-user.target
            rolling:
              service: store
              timeout: 8
              checks:
                - {name: two of three answer, url: "http://127.0.0.1:8123/health"}
"""


class Cluster:
    """The three hosts, and plain ansible-playbook on them."""

    def __init__(self, folder: Path, lab_dir: Path) -> None:
        self.folder = folder
        self.lab_dir = lab_dir

    def play(self, setting: str, *args: str, rc: int = 0, **extra: str) -> tuple[str, dict[str, int]]:
        """The output and changed= by host."""
        argv = ["ansible-playbook", "play.yml", "-i", "nspawn.yml", "-e", json.dumps({"setting": setting, **extra})]
        env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".dev"),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_NOCOLOR": "1",
        }
        done = subprocess.run(
            [*argv, *args], cwd=self.folder, env=env, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == rc, done.stdout + done.stderr
        found = re.findall(r"^(\w+)\s+: ok=\d+\s+changed=(\d+)", done.stdout, re.MULTILINE)
        return done.stdout, {host: int(count) for host, count in found}

    def ssh(self, host: str, command: str) -> str:
        argv = ["ssh", "-F", str(self.lab_dir / "ssh/config"), host, command]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30).stdout.strip()

    def starts(self) -> dict[str, tuple[float, str]]:
        """When each member's present process was started, in seconds of the machine's clock, and its invocation.

        The hosts share the machine's monotonic clock.
        """
        show = "systemctl show -P ExecMainStartTimestampMonotonic -P InvocationID store; cat /proc/uptime"
        found = {}
        for host in HOSTS:
            invocation, started, *_ = sorted(self.ssh(host, show).split(), key=len, reverse=True)
            found[host] = (int(started) / 1e6, invocation)
        return found

    def marks(self) -> list[str]:
        return sorted(path.name for path in self.lab_dir.glob("rolling/store/[!.]*"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="labctl-test-") as name:
        folder = Path(name)
        hosts = ", ".join(f"{host}: {{}}" for host in HOSTS)
        (folder / "lab.yml").write_text(f"name: rolling-test\nprovider: nspawn\nhosts: {{{hosts}}}\nstacks: []\n")
        (folder / "nspawn.yml").write_text("plugin: labctl.stacks.nspawn\nlab: lab.yml\n")
        (folder / "play.yml").write_text(PLAY)
        (folder / "store.py").write_text(SERVER)
        lab = load_lab(folder / "lab.yml")
        provider = provider_for(lab)
        try:
            provider.preflight()
            provider.apply()
            yield Cluster(folder, lab.lab_dir)
        finally:
            provider.destroy()


def one_after_the_other(cluster: Cluster) -> bool:
    """Whether the members' last starts are further apart than a member needs to serve."""
    times = sorted(start for start, _ in cluster.starts().values())
    return all(later - earlier > 0.7 for earlier, later in itertools.pairwise(times))


def test_a_cluster_forms_in_parallel(cluster: Cluster) -> None:
    cluster.play("one")
    times = sorted(start for start, _ in cluster.starts().values())
    assert times[-1] - times[0] < 0.7, "members waited for each other"
    assert cluster.play("one")[1] == dict.fromkeys(HOSTS, 0)
    assert not (cluster.lab_dir / "rolling").exists()


@pytest.mark.parametrize(
    ("strategy", "forks", "setting"), [("linear", 5, "two"), ("free", 3, "three"), ("linear", 1, "four")]
)
def test_a_changed_setting_restarts_one_member_at_a_time(
    cluster: Cluster, strategy: str, forks: int, setting: str
) -> None:
    before = cluster.starts()
    foreseen = cluster.play(setting, "--check", "-f", str(forks), strategy=strategy)[1]
    assert cluster.starts() == before
    done = cluster.play(setting, "-f", str(forks), strategy=strategy)[1]
    assert foreseen == done == dict.fromkeys(HOSTS, 2)
    after = cluster.starts()
    assert all(after[host] != before[host] for host in HOSTS)
    assert one_after_the_other(cluster), after
    assert cluster.play(setting, strategy=strategy)[1] == dict.fromkeys(HOSTS, 0)
    assert cluster.starts() == after
    assert not (cluster.lab_dir / "rolling").exists()


@pytest.mark.parametrize(
    ("bad", "good", "told"), [("bad", "five", "the setting is bad"), ("bad later", "six", "did not become healthy")]
)
def test_a_setting_that_kills_the_first_member_stops_before_the_second_and_is_mended(
    cluster: Cluster, bad: str, good: str, told: str
) -> None:
    before = cluster.starts()
    was = cluster.ssh("m1", "curl -s http://127.0.0.1:8123/").split()[0]
    output, _ = cluster.play(bad, rc=2)
    (broken,) = cluster.marks()
    others = set(HOSTS) - {broken}
    assert told in output
    for host in others:
        assert cluster.starts()[host] == before[host], "a member was restarted after one that did not come back"
        assert f"store was not restarted on {host}" in output
        assert cluster.ssh(host, "curl -s http://127.0.0.1:8123/health").split()[0] == was
    assert f"hint: mend {broken}" in output
    # Two of three are healthy, and yet a member less would be one too many: also in the next run, and without it.
    cluster.play(bad, rc=2)
    cluster.play(bad, "--limit", ",".join(sorted(others)), rc=2)
    assert {host: cluster.starts()[host] for host in others} == {host: before[host] for host in others}
    cluster.play(good)
    assert one_after_the_other(cluster)
    assert all(cluster.ssh(host, "cat /etc/store.conf") == good for host in HOSTS)
    assert cluster.play(good)[1] == dict.fromkeys(HOSTS, 0)
    assert not (cluster.lab_dir / "rolling").exists()


def test_a_run_that_is_killed_at_any_moment_loses_no_restart(cluster: Cluster) -> None:
    for number, delay in enumerate((1.5, 2.5, 3.5, 4.5)):
        setting = f"killed{number}"
        with pytest.raises(subprocess.TimeoutExpired):
            argv = ["setsid", "ansible-playbook", "play.yml", "-i", "nspawn.yml", "-e", f"setting={setting}"]
            env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
            env |= {"ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".dev"), "ANSIBLE_PIPELINING": "1"}
            # run() kills it by SIGKILL.
            subprocess.run(argv, cwd=cluster.folder, env=env, capture_output=True, timeout=delay, check=False)
        cluster.play(setting)
        running = {host: cluster.ssh(host, "curl -s http://127.0.0.1:8123/").split()[0] for host in HOSTS}
        assert running == dict.fromkeys(HOSTS, setting)
        assert cluster.play(setting)[1] == dict.fromkeys(HOSTS, 0)
        assert not (cluster.lab_dir / "rolling").exists()
