# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where labctl reaches into the collection and out to hosts; what that takes is loaded when first needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab

if TYPE_CHECKING:
    from labctl.lab.verify import HostReport


class ArtifactState(NamedTuple):
    """An artefact's version in the catalogue; ``digest`` is empty as long as the store does not have it."""

    name: str
    version: str
    digest: str


def provider_for(lab: Lab) -> Any:
    """The provider that makes this lab's hosts."""
    from ansible_collections.labctl.stacks.plugins.module_utils.providers import provider_for as find

    return find(lab)


def resolve_artifact(
    lab: Lab, name: str, progress: Callable[[str, int, int], None], *, accept_unpinned: bool = False
) -> str:
    """Bring the version of an artefact that a lab keeps to into the store; a line that says what it is and whence.

    What the lab keeps to is written down by who installs it first: only there it is known which version is asked for.
    """
    from ansible_collections.labctl.stacks.plugins.module_utils.lablock import LabLock

    from labctl.lab.artifacts import store_of

    store, lock = store_of(lab, accept_unpinned=accept_unpinned), LabLock(lab.spec.parent)
    wanted = lock.wanted(name, None, store)
    digest = lock.digest(wanted)
    resolved = store.resolve(wanted, progress, digest=digest, locked_by=str(lock.path) if digest else "")
    return f"{resolved.version} from {resolved.source}"


def artifact_state(lab: Lab, name: str) -> ArtifactState:
    """What the store has of an artefact that a lab installs; read-only."""
    from ansible_collections.labctl.stacks.plugins.module_utils.lablock import LabLock

    from labctl.lab.artifacts import store_of

    store, lock = store_of(lab), LabLock(lab.spec.parent)
    wanted = lock.wanted(name, None, store)
    found = store.find(wanted, digest=lock.digest(wanted))
    return ArtifactState(name, wanted.version, found.digest if found else "")


def verify(lab: Lab, hosts: Mapping[str, frozenset[str]]) -> dict[str, HostReport]:
    """Compare hosts with what was left on them; ``hosts`` maps each to the roles that must have a manifest there."""
    from labctl.lab.verify import HostExpectation
    from labctl.lab.verify import verify as ask

    wanted = {host: HostExpectation(roles) for host, roles in hosts.items()}
    return ask(lab.lab_dir, lab.lab_dir / "ssh" / "config", wanted)


def kept_digests(lab: Lab, host: str) -> dict[str, str]:
    """Role to the sha256 of its manifest on the host, as Ansible wrote it into the lab folder."""
    from labctl.lab.verify import kept_digests as read

    return read(lab.lab_dir, host)


def file_content(lab: Lab, host: str, paths: list[str]) -> dict[str, bytes]:
    """What managed files that are no secret hold on the host."""
    from labctl.lab.verify import file_content as ask

    return ask(lab.lab_dir, lab.lab_dir / "ssh" / "config", host, paths)


def left_behind(lab: Lab, hosts: list[str]) -> dict[str, Any]:
    """What is on hosts, comparable with other labs' (:func:`labctl.lab.runs.left`)."""
    from labctl.lab.runs import left

    return left(lab, hosts)
