# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removes a lab: its hosts with all that is on them, and what labctl keeps of it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab

from labctl.lab import backend, digest
from labctl.lab.events import Event, Listener
from labctl.lab.locate import is_default

#: What labctl and the collection put into a lab folder. Anything else there is somebody's, and stays.
_OURS = ("id", "ssh", "secrets", "manifests", "runs", "state.json", "digest.key", "verify", "kubeconfig", "lock")


@dataclass(frozen=True)
class Loss:
    """What a `down` takes away: hosts that exist, as (name, address, state), and whether there is anything at all."""

    hosts: tuple[Any, ...]
    anything: bool


def loss(lab: Lab) -> Loss:
    """What there is to lose; read-only."""
    hosts = tuple(host for host in backend.provider_for(lab).hosts() if host.state != "absent")
    return Loss(hosts, bool(hosts) or bool(lab.lab_id()) or is_default(lab))


def down(lab: Lab, tell: Listener) -> list[str]:
    """Remove the lab's hosts, then its folder; what was removed, in words. The caller holds the lock."""
    removed: list[str] = []
    if lab.lab_id():
        removed += backend.provider_for(lab).destroy(lambda host, step: tell(Event("host", host or "lab", step)))
    if forget(lab):
        removed.append(f"folder {_short(lab.lab_dir)}")
    return removed


def forget(lab: Lab) -> bool:
    """Remove what labctl keeps of a lab, and of a default topology its lab file too; whether its folder is gone."""
    names = [*_OURS, lab.spec.name, lab.inventory.name, digest.LOCK] if is_default(lab) else list(_OURS)
    return _remove(lab.lab_dir, names)


def _remove(folder: Path, names: list[str]) -> bool:
    """Remove these from the folder, and the folder itself once it is empty; whether that was so."""
    if not folder.is_dir() or folder.is_symlink():
        return False
    # The lock goes last, so that nobody starts while the rest is going.
    for name in sorted(names, key=lambda name: name == "lock"):
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
