# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What labctl knows of each stack: the lab it makes by default, its web addresses, and what to tell its user."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError
from ansible_collections.labctl.stacks.plugins.module_utils.labschema import did_you_mean
from ansible_collections.labctl.stacks.plugins.module_utils.stacks import STACKS


@dataclass(frozen=True)
class Endpoint:
    """A service's address: the port on every host of a group."""

    name: str
    group: str
    scheme: str
    port: int
    path: str

    def url(self, address: str) -> str:
        host = f"[{address}]" if ":" in address else address
        return f"{self.scheme}://{host}:{self.port}{self.path}"


@dataclass(frozen=True)
class Topology:
    """The content of ``stacks/<stack>.yml``."""

    stack: str
    hosts: dict[str, dict[str, Any]]
    endpoints: tuple[Endpoint, ...]
    next: tuple[str, ...]
    notice: str


def topology(stack: str) -> Topology:
    """The named stack's topology; InputError with the nearest name where there is no such stack."""
    if stack not in STACKS:
        raise InputError(f"there is no stack {stack!r}", hint=did_you_mean(stack, STACKS))
    import yaml

    text = (resources.files("labctl") / "stacks" / f"{stack}.yml").read_text(encoding="utf-8")
    data = yaml.safe_load(text)
    return Topology(
        stack=stack,
        hosts=data["hosts"],
        endpoints=tuple(Endpoint(**endpoint) for endpoint in data.get("endpoints", [])),
        next=tuple(data.get("next", [])),
        notice=str(data.get("notice", "")).strip(),
    )


def lab_text(name: str, stack: str, provider: str) -> str:
    """A lab.yml for the stack's default hosts. Hosts of provider static get addresses to be replaced."""
    hosts = topology(stack).hosts
    if provider == "static":
        hosts = _with_addresses(hosts)
    note = "# The addresses stand for your hosts': replace them.\n" if provider == "static" else ""
    import yaml

    body = {"name": name, "provider": provider, "hosts": hosts, "stacks": [stack]}
    return f"---\n{note}{yaml.safe_dump(body, sort_keys=False, default_flow_style=None, width=110)}"


def _with_addresses(hosts: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    names = [
        (f"{name}{number + 1}" if "count" in host else name, list(host["groups"]))
        for name, host in hosts.items()
        for number in range(host.get("count", 1))
    ]
    # RFC 5737: addresses for documentation, which are never anyone's.
    return {
        name: {"address": f"192.0.2.{number}", "groups": groups}
        for number, (name, groups) in enumerate(names, start=10)
    }


def inventory_text(provider: str, lab: str = "lab.yml", lab_dir: str = ".labctl") -> str:
    """The inventory file that stands beside a lab.yml and makes it an Ansible inventory."""
    lines = ["---", f"plugin: labctl.stacks.{provider}", f"lab: {lab}"]
    if lab_dir != ".labctl":
        lines.append(f"lab_dir: {lab_dir}")
    return "\n".join(lines) + "\n"
