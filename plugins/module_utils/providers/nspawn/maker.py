# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: making, starting and repairing one nspawn host."""

from __future__ import annotations

import dataclasses
import time
from ipaddress import IPv4Network
from pathlib import Path
from threading import Event
from uuid import uuid4

from ...errors import ProviderError
from ...lab import Lab
from ...paths import cache_dir
from ...stacks import calls, nests, volumes
from .. import ssh
from ..base import Progress
from . import cgroup, image, network, rootfs, state, supervisor

#: How long a host may take to ssh, in seconds. Far more than it does, for machines busy with many.
BOOT_SECONDS = 90


def store_dir() -> Path:
    """The artefact store of the calling user, which hosts see read-only."""
    return cache_dir() / "store"


class Maker:
    """The steps of one host in one apply; called from several threads, each for another host."""

    def __init__(
        self, lab: Lab, layout: state.Layout, record: state.LabRecord, key: str, lower: Path | None, progress: Progress
    ) -> None:
        self.layout = layout
        self.record = record
        self.subnet = IPv4Network(record.subnet)
        self.specs = {spec.name: spec for spec in lab.hosts}
        self.key = key
        self.lower = lower
        self.progress = progress
        self.resolver = network.upstream_resolv_conf()
        self.stop = Event()
        self.fresh: set[str] = set()

    def make(self, name: str) -> None:
        """A host's root, unless it is there whole."""
        if self.layout.host(name) is not None:
            return
        if self.lower is None:
            raise ProviderError("its record was lost")
        self.progress(name, "making its root")
        folder = self.layout.host_dir(name)
        # A supervisor without its host's record: somebody tampered, or a crash on a file system that lost a write.
        supervisor.stop(self.record.id, name, self.layout.run(name))
        rootfs.clear_half_made(folder)
        self.layout.run_file(name).unlink(missing_ok=True)
        host_key = ssh.key_pair(folder, "host_key", name)
        files = rootfs.host_files(
            name=name,
            address=self.record.addresses[name],
            subnet=self.subnet,
            addresses=self.record.addresses,
            resolver=self.resolver,
            machine_id=uuid4().hex,
            authorized_key=self.key,
            host_key=host_key,
        )
        rootfs.fill_upper(folder / "upper", self.lower, files)
        for half in ("host_key", "host_key.pub"):
            (folder / half).unlink()
        public = " ".join(host_key[1].split()[:2])
        made = state.HostRecord(name, self.record.addresses[name], self.lower.name, public)
        state.write(self.layout.host_file(name), made)

    def start(self, name: str) -> None:
        """Start a host that does not run; bring a running one's network and names up to date."""
        run, made = self.layout.run(name), self.layout.host(name)
        if supervisor.alive(run) and run is not None:
            self._refresh(name, run)
            return
        if made is None:
            raise ProviderError("its record was lost")
        if not image.present(made.image):
            raise ProviderError(
                f"the image its root lies over, {made.image}, is no longer in {image.folder()}",
                hint="labctl down, then labctl up: the hosts are made anew, their data is lost",
            )
        self.progress(name, "booting")
        # Nothing of an earlier run may still be there: nspawn finds the root busy.
        supervisor.stop(self.record.id, name, None)
        supervisor.clear_runtime(self.record.id, name, self.layout.root(name))
        rootfs.mount(self.layout.host_dir(name), image.path_of(made.image))
        self._names(name)
        spec = self.specs[name]
        binds = {folder: self.layout.volume(name, folder) for folder in volumes(spec.groups)}
        for volume in binds.values():
            volume.mkdir(mode=0o755, parents=True, exist_ok=True)
        boot = supervisor.Boot(
            lab_id=self.record.id,
            host=name,
            root=self.layout.root(name),
            bridge=self.record.bridge,
            store=store_dir(),
            memory=spec.memory,
            cpus=spec.cpus,
            nests=nests(spec.groups),
            volumes=binds,
            calls=calls(spec.groups),
        )
        supervisor.start(boot, self.layout)
        self.fresh.add(name)

    def _names(self, name: str) -> None:
        root = self.layout.root(name)
        rootfs.set_block(root, "etc/hosts", rootfs.hosts_lines(self.record.addresses))
        rootfs.set_block(root, "etc/resolv.conf", self.resolver)
        rootfs.set_block(root, "root/.ssh/authorized_keys", [self.key])

    def _refresh(self, name: str, run: state.RunRecord) -> None:
        self._names(name)
        leader = supervisor.leader(run)
        if leader is not None and network.ensure_port(self.record.bridge, leader):
            self.progress(name, "put back on its bridge")
        spec = self.specs[name]
        if (nests(spec.groups) and not run.nests) or not set(volumes(spec.groups)) <= set(run.volumes):
            raise ProviderError(
                f"it was started before it was in the groups {', '.join(sorted(spec.groups))}, "
                f"and lacks rights or folders that they need",
                hint=f"labctl exec {name} -- poweroff, then labctl up: it starts anew with what is on it",
            )
        if (run.memory, run.cpus) != (spec.memory, spec.cpus) and not run.unit:
            cgroup.set_limits(cgroup.group_name(self.record.id, name), spec.memory, spec.cpus)
            state.write(self.layout.run_file(name), dataclasses.replace(run, memory=spec.memory, cpus=spec.cpus))
        if supervisor.age(run) < BOOT_SECONDS:
            self.fresh.add(name)

    def wait(self, name: str) -> None:
        """Wait for ssh, of hosts that have just been started; what becomes of others is not for us to say."""
        if name not in self.fresh:
            return
        deadline = time.monotonic() + BOOT_SECONDS

        def alive() -> bool:
            return not self.stop.is_set() and supervisor.alive(self.layout.run(name))

        if ssh.wait_for_banner(self.record.addresses[name], deadline, alive):
            self.progress(name, "ready")
        elif self.stop.is_set():
            return
        elif supervisor.alive(self.layout.run(name)):
            raise ProviderError(f"ssh did not answer on {self.record.addresses[name]} within {BOOT_SECONDS} s")
        else:
            raise ProviderError(f"it stopped while booting: {supervisor.log_end(self.layout.log(name))}")
