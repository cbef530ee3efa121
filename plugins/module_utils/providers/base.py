# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the contract between labs and whatever makes their hosts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ..lab import HostSpec, Lab

#: Told of each step: (host name, what happens now). An empty host name means the lab as a whole.
#: Called from worker threads, so it has to be safe to call at the same time from several of them.
Progress = Callable[[str, str], None]


def no_progress(host: str, step: str) -> None:
    """The progress callback of those who do not want to know."""


@dataclass(frozen=True)
class Host:
    """A host as it is now. ``address`` is empty before one is allotted; ``variables`` are for Ansible."""

    name: str
    address: str
    state: Literal["running", "stopped", "absent"]
    variables: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """What ``apply`` would do with a host, and why; ``remove`` is only reported, never done by ``apply``."""

    host: str
    action: Literal["create", "start", "keep", "remove"]
    reason: str


class Provider(ABC):
    """Makes, finds and removes the hosts of one lab. Making one of these acts on nothing."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    @abstractmethod
    def preflight(self) -> None:
        """Raise PreflightError with everything this machine lacks for the lab, each with its mend."""

    @abstractmethod
    def plan(self) -> list[Change]:
        """What ``apply`` would do, read-only. ProviderError for a lab of this name with another id."""

    @abstractmethod
    def apply(self, progress: Progress = no_progress) -> list[Host]:
        """Make and repair hosts, in parallel, until ssh answers; never removes or re-creates one.

        Raises ProviderError naming every host that did not come up, after the others have.
        """

    @abstractmethod
    def hosts(self) -> list[Host]:
        """The lab's hosts as they are, read-only; works unprivileged and before anything exists."""

    @abstractmethod
    def remove(self, names: Collection[str], progress: Progress = no_progress) -> list[str]:
        """Remove these hosts with all that is on them, and say in words what that was; hosts that are gone are fine.

        The others stay as they are. Hosts that are not of this provider's making stay too.
        """

    @abstractmethod
    def destroy(self, progress: Progress = no_progress) -> list[str]:
        """Remove all of the lab there is, and say in words what that was; nothing left is fine."""

    def variables(self, spec: HostSpec, address: str) -> dict[str, Any]:
        """The host variables that are the same for every provider; the lab file's own ``vars`` win."""
        served: dict[str, Any] = {
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
            "lab_name": self.lab.name,
            "lab_id": self.lab.lab_id(),
            "lab_provider": self.lab.provider.type,
            "lab_site": "local",
            "lab_role": spec.groups[0] if spec.groups else "",
            "labctl_lab_dir": str(self.lab.lab_dir),
            "labctl_lab_file": str(self.lab.spec),
        }
        if address:
            served |= {"ansible_host": address, "lab_address": address}
        return served | spec.vars
