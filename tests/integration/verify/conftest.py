# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with a bit of everything that manifests record, converged once by the bulk modules."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.lab import load_lab
from ansible_collections.labctl.stacks.plugins.module_utils.providers import provider_for
from integration.one_host import OneHost, Run
from labctl.lab.verify import HostExpectation, HostReport, verify

#: Two roles, so that what they share is looked at as both see it.
TASKS = r"""
- name: system
  labctl.stacks.system:
    role: vfy
    packages: [iputils-ping]
    users: [{name: vfy, comment: Verified, home: /var/lib/vfy, shell: /usr/sbin/nologin, groups: [vfyextra]}]
    directories: [{path: /var/lib/vfy, owner: vfy, group: vfy, mode: "0750"}]
    sysctls: {net.ipv4.tcp_keepalive_time: 7100}
    host_names: {vfy-peer: 192.0.2.7}
- name: config
  labctl.stacks.config_tree:
    role: vfy
    directories: [{path: /etc/vfy}]
    files:
      - {path: /etc/vfy/site.conf, content: "port = {{ port | default(8123) }}\n"}
      - {path: /etc/vfy/run.sh, content: "#!/bin/sh\nexit 0\n", mode: "0755", owner: vfy, group: vfy}
      - {path: /etc/vfy/password, content: "{{ 'open' ~ 'sesame' }}", secret: true, mode: "0600"}
  register: config
- name: unit
  labctl.stacks.unit:
    role: vfy
    config_digest: "{{ config.digest }}"
    units:
      - name: vfy-web.service
        content: |
          [Service]
          Type=exec
          ExecStart=/usr/bin/python3 -m http.server --bind 127.0.0.1 --directory /srv 8123
          [Install]
          WantedBy=multi-user.target
      - name: vfy-job.service
        content: |
          [Service]
          Type=oneshot
          ExecStart=/bin/true
          [Install]
          WantedBy=multi-user.target
      - {name: vfy-off.service, content: "[Service]\nExecStart=/bin/sleep 1\n", enabled: false, state: stopped}
- name: ready
  labctl.stacks.ready:
    role: vfy
    checks:
      - {name: web, port: 8123}
      - {name: site, url: "http://127.0.0.1:8123/", contains: Directory listing}
      - {name: names, names: [localhost, box]}
      - {name: costly, command: [/bin/true]}
- name: other
  labctl.stacks.config_tree:
    role: vfz
    directories: [{path: /etc/vfy}]
    files: [{path: /etc/vfy/other.conf, content: "other\n"}]
"""


@dataclass
class Verified:
    """The host, and what labctl says of it."""

    host: OneHost

    def look(self, *, cold: bool = False, roles: frozenset[str] = frozenset()) -> HostReport:
        """One look, as ``labctl`` takes it."""
        name, config = self.host.name, self.host.lab_dir / "ssh/config"
        return verify(self.host.lab_dir, config, {name: HostExpectation(roles)}, cold=cold)[name]

    def items(self) -> set[str]:
        """What is told to differ, as "kind item"."""
        report = self.look()
        assert report.reachable
        assert not report.error, report.error
        return {f"{drift.kind} {drift.item}" for drift in report.drift}

    def ssh(self, command: str) -> str:
        return self.host.ssh(command)

    @property
    def memory(self) -> Path:
        """What the controller keeps of the host between looks."""
        return self.host.lab_dir / "verify" / f"{self.host.name}.json"

    def sealed(self) -> None:
        """Look until every file has its seal, so that what comes next is looked at as on a lab at rest."""
        groups = {
            f"{role}:{key}" for role in ROLES for key in self.host.manifest(role)["sections"] if "ready" not in key
        }
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            assert self.items() == set()
            kept: dict[str, Any] = json.loads(self.memory.read_text())
            if groups <= {seal.rsplit(":", 1)[0] for seal in kept["seals"]}:
                return
            time.sleep(0.3)
        raise AssertionError(f"no seals for some of {groups}")

    def converge(self) -> Run:
        """Run the playbook, with success."""
        run = self.host.run_playbook(TASKS)
        assert run.rc == 0, run.stdout
        return run


ROLES = ("vfy", "vfz")


@pytest.fixture(scope="session")
def verified() -> Iterator[Verified]:
    """The converged host. Removed at the end."""
    if os.geteuid() != 0:
        pytest.skip("makes an nspawn host, which needs root")
    with tempfile.TemporaryDirectory(prefix="labctl-test-") as name:
        folder = Path(name)
        spec = folder / "lab.yml"
        # Its own name: the other integration tests' lab may run at the same time.
        lab_name = f"verify-{secrets.token_hex(2)}"
        spec.write_text(json.dumps({"name": lab_name, "provider": "nspawn", "hosts": {"box": {}}, "stacks": []}))
        (folder / "nspawn.yml").write_text("plugin: labctl.stacks.nspawn\nlab: lab.yml\n")
        lab = load_lab(spec)
        provider = provider_for(lab)
        try:
            provider.preflight()
            provider.apply()
            scratch = folder / "plays"
            scratch.mkdir()
            host = OneHost("box", folder / "nspawn.yml", lab.lab_dir, scratch)
            yield Verified(host)
        finally:
            provider.destroy()


@pytest.fixture(scope="session")
def converged(verified: Verified) -> Verified:
    verified.converge()
    return verified
