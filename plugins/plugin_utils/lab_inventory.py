# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: what the inventory plugins of all providers share.

They serve a lab's groups and variables whether or not its hosts exist yet: before that, hosts have no
``ansible_host``, and the first play can make them and refresh the inventory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Constructable
from ansible_collections.labctl.stacks.plugins.module_utils.errors import LabError
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab, load_lab
from ansible_collections.labctl.stacks.plugins.module_utils.providers import Host, Provider, provider_for
from ansible_collections.labctl.stacks.plugins.module_utils.stacks import STACKS


def hosts_from(lab: Lab, hosts: list[Host]) -> list[tuple[str, dict[str, Any], tuple[str, ...]]]:
    """(name, variables, groups) of every host, in the lab file's order."""
    groups = {spec.name: spec.groups for spec in lab.hosts}
    return [(host.name, host.variables, groups[host.name]) for host in hosts]


def lab_groups(lab: Lab) -> list[str]:
    """All groups the lab's playbooks may name, also those without hosts: a play on one is then empty, not unknown."""
    known = [group for stack in lab.stacks for group in STACKS[stack].groups]
    return list(dict.fromkeys([*known, *lab.groups()]))


def lab_variables(lab: Lab) -> dict[str, Any]:
    """Variables of group ``all``: the lab's own, and which lab it is, which plays on localhost need, too."""
    return {
        **lab.vars,
        "lab_name": lab.name,
        "lab_id": lab.lab_id(),
        "lab_provider": lab.provider.type,
        "labctl_lab_dir": str(lab.lab_dir),
        "labctl_lab_file": str(lab.spec),
    }


def lab_paths(inventory: Path, lab: str, lab_dir: str | None) -> tuple[Path, Path | None]:
    """Lab file and lab folder of an inventory file; None is the folder that belongs to the lab file by itself."""
    here = inventory.absolute().parent
    spec = here / lab
    if lab_dir is not None:
        return spec, here / lab_dir
    return spec, None if spec.parent.resolve() == here.resolve() else here / ".labctl"


class LabInventory(BaseInventoryPlugin, Constructable):  # type: ignore[misc]
    """An inventory plugin of one provider; a subclass gives ``NAME`` and ``PROVIDER``.

    Strings reach Ansible untagged, so that it never takes one for a template, whoever wrote it.
    """

    NAME = ""
    PROVIDER = ""

    def verify_file(self, path: str) -> bool:
        """Whether this may be a file of ours, by its name."""
        suffixes = (f"{self.PROVIDER}.yml", f"{self.PROVIDER}.yaml")
        return bool(super().verify_file(path)) and path.endswith(suffixes)

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Read the inventory file and its lab. A LabError becomes AnsibleParserError, with everything it says."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        try:
            provider = self._create_client(Path(path))
            hosts = provider.hosts()
            self._populate(provider.lab, hosts)
        except LabError as exc:
            report = f"{exc.report}\n  {exc.hint}" if exc.hint else exc.report
            raise AnsibleParserError(report) from exc

    def _create_client(self, path: Path) -> Provider:
        spec, folder = lab_paths(path, self.get_option("lab"), self.get_option("lab_dir"))
        lab = load_lab(spec, folder)
        if lab.provider.type != self.PROVIDER:
            raise AnsibleParserError(
                f"{lab.spec} has provider {lab.provider.type}, which inventory plugin {self.NAME} does not serve"
            )
        return provider_for(lab)

    def _populate(self, lab: Lab, hosts: list[Host]) -> None:
        for key, value in lab_variables(lab).items():
            self.inventory.set_variable("all", key, value)
        for group in lab_groups(lab):
            self.inventory.add_group(group)
        strict = self.get_option("strict")
        for name, variables, groups in hosts_from(lab, hosts):
            self.inventory.add_host(name)
            for group in groups:
                self.inventory.add_host(name, group=group)
            for key, value in variables.items():
                self.inventory.set_variable(name, key, value)
            # What the user composes may build on the lab's own variables.
            known = lab_variables(lab) | variables | {"inventory_hostname": name}
            self._set_composite_vars(self.get_option("compose"), known, name, strict=strict)
            self._add_host_to_composed_groups(self.get_option("groups"), known, name, strict=strict)
            self._add_host_to_keyed_groups(self.get_option("keyed_groups"), known, name, strict=strict)
