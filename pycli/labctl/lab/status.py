# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab is like now: hosts, web addresses, who works on it. Read-only, and without Ansible."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab

from labctl.lab import backend
from labctl.lab.lock import holder_of
from labctl.lab.topology import topology

_CONNECT_SECONDS = 0.5


def status(lab: Lab, *, look: bool = True) -> dict[str, Any]:
    """The lab as data: name, hosts, endpoints (``open`` is null where ``look`` is off), the lock's holder."""
    found = {host.name: host for host in backend.provider_for(lab).hosts()}
    hosts = []
    for spec in lab.hosts:
        host = found.get(spec.name)
        hosts.append(
            {
                "name": spec.name,
                "state": host.state if host else "absent",
                "address": host.address if host else "",
                "groups": list(spec.groups),
                "memory": spec.memory,
                "constraints": constraints(lab, spec.name),
            }
        )
    holder = holder_of(lab.lab_dir)
    return {
        "lab": lab.name,
        "file": str(lab.spec),
        "provider": lab.provider.type,
        "stacks": list(lab.stacks),
        "lease": lab.lease,
        "hosts": hosts,
        "endpoints": endpoints(lab, found, look=look),
        "locked_by": str(holder) if holder else None,
    }


def constraints(lab: Lab, host: str) -> list[str]:
    """What a host keeps from its stacks, as the last run found it: names of the module container_constraints."""
    try:
        return (lab.lab_dir / "manifests" / host / "constraints").read_text(encoding="utf-8").split()
    except OSError:
        return []


def endpoints(lab: Lab, hosts: dict[str, Any], *, look: bool) -> list[dict[str, Any]]:
    """The web addresses of the lab's stacks on hosts that run, and whether something answers there."""
    groups = lab.groups()
    rows: list[dict[str, Any]] = []
    for stack in lab.stacks:
        for endpoint in topology(stack).endpoints:
            for name in groups.get(endpoint.group, []):
                host = hosts.get(name)
                if host is None or host.state != "running" or not host.address:
                    continue
                url = endpoint.url(host.address)
                rows.append({"name": endpoint.name, "host": name, "url": url, "port": endpoint.port, "open": None})
    if look and rows:
        with ThreadPoolExecutor(max_workers=min(16, len(rows))) as pool:
            answers = pool.map(lambda row: _open(hosts[row["host"]].address, row["port"]), rows)
            for row, answer in zip(rows, answers, strict=True):
                row["open"] = answer
    return rows


def _open(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=_CONNECT_SECONDS):
            return True
    except OSError:
        return False
