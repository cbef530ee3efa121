# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: hosts that exist already. Nothing is made, and nothing removed but our own files."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Collection

from . import ssh
from .base import Change, Host, Progress, Provider, no_progress

#: Ansible variable of a host -> the ssh option that says the same.
OPTIONS = {
    "ansible_user": "User",
    "ansible_port": "Port",
    "ansible_ssh_private_key_file": "IdentityFile",
}


def way_to(address: str) -> tuple[str, str]:
    """A host's IP address, and the one this machine reaches it from; empty where unknown. Nothing is sent to it."""
    try:
        family, kind, _, _, target = socket.getaddrinfo(address, 22, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(target)
            return str(target[0]), str(probe.getsockname()[0])
    except OSError:
        return "", ""


class StaticProvider(Provider):
    """The hosts of lab.yml, each with its address. They are taken to run; Ansible says so if one does not."""

    def preflight(self) -> None:
        """Nothing of this machine is needed but ssh, which Ansible asks for itself."""

    def plan(self) -> list[Change]:
        return [Change(spec.name, "keep", "it is not of labctl's making") for spec in self.lab.hosts]

    def apply(self, progress: Progress = no_progress) -> list[Host]:
        lab_id = self.lab.lab_id(create=True)
        targets = []
        for host in self.hosts():
            pairs = ((option, host.variables.get(name)) for name, option in OPTIONS.items())
            options = tuple(f"{option} {ssh.quoted(str(value))}" for option, value in pairs if value is not None)
            targets.append(ssh.Target(host.name, host.address, options))
        config = ssh.config_text(lab_id, targets, ("StrictHostKeyChecking yes",))
        ssh.make_control_dirs(lab_id)
        ssh.write_client_files(self.lab.lab_dir, None, config)
        return self.hosts()

    def remove(self, names: Collection[str], progress: Progress = no_progress) -> list[str]:
        return []

    def hosts(self) -> list[Host]:
        result = []
        for spec in self.lab.hosts:
            address = spec.address or ""
            served = self.variables(spec, address) | {"lab_site": "static"}
            there, here = way_to(address)
            if here:
                served |= {"lab_address": there, "lab_controller_addresses": [here]}
            result.append(Host(spec.name, address, "running", served | spec.vars))
        return result

    def destroy(self, progress: Progress = no_progress) -> list[str]:
        lab_id = self.lab.lab_id()
        count = ssh.close_masters(lab_id) if lab_id else 0
        folder = self.lab.lab_dir / "ssh"
        if folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder)
        return [f"{count} ssh connections"] if count else []
