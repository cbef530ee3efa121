# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: removing all there is of a lab, however much of it there still is.

Everything bears the lab's id (supervisor and cgroup names, the bridge's alias, the rules' comment, the folder), so
nothing is found by what a file says alone, and nothing of another lab is ever touched.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from ...errors import Finding, LabError, ProviderError
from ...lab import Lab
from ...paths import STATE_ROOT
from .. import ssh
from ..base import Progress
from ..command import run
from . import cgroup, firewall, limits, network, rootfs, state, supervisor


def destroy(lab: Lab, layout: state.Layout, progress: Progress) -> list[str]:
    """Remove the lab; what was removed, in words. ProviderError where something would not go."""
    lab_id = lab.lab_id()
    with state.locked(layout.folder, wait=False):
        removed = [f"{count} ssh connections"] if (count := ssh.close_masters(lab_id)) else []
        prefix = cgroup.group_name(lab_id, "")
        known = sorted({*layout.known_hosts(), *(name.removeprefix(prefix) for name in cgroup.of_lab(lab_id))})
        removed += _hosts(lab_id, layout, known, progress)
        if supervisor.under_systemd():
            run(["systemctl", "stop", supervisor.slice_name(lab_id)], check=False)
        with state.locked(state.nspawn_root(), wait=True):
            bridge = network.bridge_name(lab_id)
            if network.remove_bridge(bridge, lab_id):
                removed.append(f"bridge {bridge}")
            if firewall.remove(lab_id):
                removed.append("forwarding rules")
            removed += _files(lab, layout)
            # An empty folder is a lock of somebody who has not begun; he switches forwarding on himself.
            if not any(any(entry.iterdir()) for entry in state.nspawn_root().iterdir() if entry.is_dir()):
                if firewall.restore_forwarding(state.nspawn_root() / "ip_forward.json", supervisor.boot_id()):
                    removed.append("forwarding, which was off before the first lab")
                if limits.restore(state.nspawn_root() / "limits.json", supervisor.boot_id()):
                    removed.append("the kernel's limits of inotify, which were lower before the first lab")
                if supervisor.under_systemd():
                    run(["systemctl", "stop", "labctl.slice"], check=False)
                for folder in (state.nspawn_root(), STATE_ROOT):
                    with contextlib.suppress(OSError):
                        folder.rmdir()
    return removed


def remove(lab: Lab, layout: state.Layout, names: Collection[str], progress: Progress) -> list[str]:
    """Remove some hosts of the lab; what was removed, in words. ProviderError where one would not go."""
    with state.locked(layout.folder, wait=False):
        ssh.close_masters(lab.lab_id())
        removed = _hosts(lab.lab_id(), layout, sorted(names), progress)
        if record := layout.lab():
            kept = {name: address for name, address in record.addresses.items() if name not in names}
            state.write(layout.lab_file, dataclasses.replace(record, addresses=kept))
    return removed


def _hosts(lab_id: str, layout: state.Layout, names: list[str], progress: Progress) -> list[str]:
    """Stop hosts at once, and remove each one's mounts, cgroups and files."""
    failed: list[Finding] = []
    removed: list[str] = []

    def one(name: str) -> None:
        try:
            record = layout.run(name)
            if supervisor.alive(record):
                progress(name, "shutting down")
            found = supervisor.stop(lab_id, name, record)
            folder = layout.host_dir(name)
            supervisor.clear_runtime(lab_id, name, layout.root(name))
            found |= rootfs.unmount(folder)
            found |= cgroup.remove(cgroup.group_name(lab_id, name))
            if folder.exists():
                found = True
                rootfs.remove_tree(folder)
            for path in (layout.host_file(name), layout.run_file(name)):
                path.unlink(missing_ok=True)
            if found:
                removed.append(f"host {name}")
                progress(name, "removed")
        except LabError as exc:
            failed.append(Finding(f"host {name}", str(exc), exc.hint))
        except OSError as exc:
            failed.append(Finding(f"host {name}", f"{exc.strerror}: {exc.filename}"))

    with ThreadPoolExecutor(max_workers=max(8, 2 * (os.cpu_count() or 1))) as pool:
        list(pool.map(one, names))
    if failed:
        raise ProviderError("some hosts could not be removed", hint="try again", findings=tuple(failed))
    return sorted(removed)


def _files(lab: Lab, layout: state.Layout) -> list[str]:
    """The state folder, and what of the lab folder is of no use without its hosts."""
    had_record = layout.lab_file.exists()
    rootfs.remove_tree(layout.folder)
    found = [f"folder {layout.folder}"] if had_record else []
    for name in ("ssh", "manifests"):
        folder = lab.lab_dir / name
        if folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder)
            found.append(f"folder {folder}")
    return found
