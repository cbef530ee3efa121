# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the nspawn provider itself: what exists, what is missing, and in which order it is made.

Order of ``apply``: the lab's state folder, then the network, then hosts side by side; a host's record is written
when its root is complete, its supervisor writes its own before the host runs. So whatever an interrupted apply
leaves behind, the next apply or destroy finds. ``destroy`` goes the other way, the state folder last.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from ...errors import Finding, LabError, PreflightError, ProviderError
from ...lab import HostSpec, Lab
from ...paths import STATE_ROOT, make_dir
from .. import ssh
from ..base import Change, Host, Progress, Provider, no_progress
from . import firewall, image, limits, network, preflight, state, supervisor
from .destroy import destroy, remove
from .maker import Maker, store_dir

SSH_OPTIONS = (
    "User root",
    "IdentityFile {key}",
    "IdentitiesOnly yes",
    "UserKnownHostsFile {known_hosts}",
    "StrictHostKeyChecking yes",
    "PreferredAuthentications publickey",
)


class NspawnProvider(Provider):
    """Hosts of one lab on this machine. Root only, apart from ``hosts`` and ``plan``."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self.recipe = image.recipe_for(lab.provider.image, lab.stacks)

    # What is ---------------------------------------------------------------------------------------------------

    @property
    def layout(self) -> state.Layout:
        return state.Layout(self.lab.name, self.lab.lab_id() or "none")

    def hosts(self) -> list[Host]:
        layout, record = self.layout, self.layout.lab()
        boot = supervisor.boot_id()
        return [self._host(spec, layout, record, boot) for spec in self.lab.hosts]

    def _host(self, spec: HostSpec, layout: state.Layout, record: state.LabRecord | None, boot: str) -> Host:
        address = record.addresses.get(spec.name, "") if record else ""
        made, run = layout.host(spec.name), layout.run(spec.name)
        running = supervisor.alive(run, boot)
        return Host(
            spec.name,
            address,
            "running" if running and made else "stopped" if made else "absent",
            self._variables(spec, address, record, run if running else None),
        )

    def _variables(
        self, spec: HostSpec, address: str, record: state.LabRecord | None, run: state.RunRecord | None
    ) -> dict[str, Any]:
        served: dict[str, Any] = {
            "ansible_ssh_private_key_file": str(self.lab.lab_dir / "ssh" / "id_ed25519"),
            "ansible_ssh_args": ssh.ssh_args(self.lab.lab_dir),
        }
        if record and record.subnet:
            served["lab_controller_addresses"] = [str(network.gateway(IPv4Network(record.subnet)))]
        # A host that was started with another cache folder does not see what we put into this one.
        if run is None or run.store == str(store_dir()):
            served["labctl_store"] = "/var/lib/labctl/store"
        return served | self.variables(spec, address)

    def plan(self) -> list[Change]:
        self._refuse_others()
        layout, record, boot = self.layout, self.layout.lab(), supervisor.boot_id()
        trouble = self._network_trouble(record) if record else ""
        changes = []
        for spec in self.lab.hosts:
            run = layout.run(spec.name)
            if layout.host(spec.name) is None:
                half = layout.host_dir(spec.name).exists()
                changes.append(Change(spec.name, "create", "it is half-made" if half else "it does not exist"))
            elif not supervisor.alive(run, boot):
                changes.append(Change(spec.name, "start", "it is not running"))
            elif trouble:
                changes.append(Change(spec.name, "start", trouble))
            else:
                changes.append(Change(spec.name, "keep", "it is running"))
        named = {spec.name for spec in self.lab.hosts}
        gone = [host for host in layout.known_hosts() if host not in named]
        return changes + [Change(host, "remove", "lab.yml no longer has it") for host in gone]

    def _network_trouble(self, record: state.LabRecord) -> str:
        """What is missing of a lab's network, in words; the firewall can be read by root only."""
        if not record.bridge or not network.bridge_present(record.bridge, record.id):
            return "the lab's bridge is missing"
        if os.geteuid() != 0:
            return ""
        if not firewall.forwarding_on():
            return "the machine's forwarding is off"
        if limits.low():
            return "the kernel's limits of inotify are low"
        if not firewall.complete(record.id, record.bridge, IPv4Network(record.subnet)):
            return "forwarding rules are missing"
        return ""

    def _refuse_others(self) -> None:
        """ProviderError where the machine has a lab of our name and another id; such hosts are never adopted."""
        ours = self.lab.lab_id()
        others = [lab_id for lab_id in state.ids_of(self.lab.name) if lab_id != ours]
        if not others:
            return
        record = state.Layout(self.lab.name, others[0]).lab()
        where = f", made from {record.lab_dir}" if record else ""
        raise ProviderError(
            f"this machine already has a lab {self.lab.name} with another id, {others[0]}{where}",
            hint=f"rename this lab, or run labctl down where that one lives; if its folder is lost, "
            f"write {others[0]} into {self.lab.lab_dir / 'id'} and run labctl down here",
        )

    # What it takes ---------------------------------------------------------------------------------------------

    def preflight(self) -> None:
        findings = preflight.machine()
        if not findings:
            idle = {host.name for host in self.hosts() if host.state != "running"}
            findings = self._needs(idle) if idle else []
        if findings:
            count = len(findings)
            raise PreflightError(
                f"this machine cannot run the lab's hosts: {count} thing{'s' if count > 1 else ''} missing",
                hint="labctl doctor looks again",
                findings=tuple(findings),
            )

    def _needs(self, idle: set[str]) -> list[Finding]:
        """What hosts that do not run yet need."""
        new = sum(1 for host in idle if self.layout.host(host) is None)
        build = new > 0 and image.must_build(self.recipe, image.lock_of(self.lab))
        findings = preflight.programs(build) + preflight.kernel() + preflight.overlay_support(STATE_ROOT)
        findings += preflight.memory(spec.memory for spec in self.lab.hosts if spec.name in idle)
        findings += preflight.disk(
            {STATE_ROOT: new * preflight.HOST_DISK, image.folder(): preflight.IMAGE_DISK if build else 0}
        )
        if self.lab.provider.subnet and not self.layout.lab():
            try:
                self._choose_subnet()
            except PreflightError as exc:
                findings.append(Finding("provider.subnet", str(exc), exc.hint))
            except ProviderError:
                pass  # ip is missing, which is a finding of its own
        return findings

    def _choose_subnet(self) -> IPv4Network:
        labs = {lab.name: lab.subnet for lab in state.all_labs() if lab.id != self.lab.lab_id()}
        used = network.read_used(labs)
        return network.choose_subnet(self.lab.lab_id(), len(self.lab.hosts), used, self.lab.provider.subnet)

    # Make and repair -------------------------------------------------------------------------------------------

    def apply(self, progress: Progress = no_progress) -> list[Host]:
        if findings := preflight.machine():
            raise PreflightError(f"{findings[0].what}", hint=findings[0].mend, findings=tuple(findings))
        self._refuse_others()
        lab_id = self.lab.lab_id(create=True)
        with state.locked(self.layout.folder, wait=False):
            try:
                record = self._network(lab_id, progress)
            except BaseException:
                # Nothing is allotted, so nothing is left: an empty folder would only be in the way of others.
                for folder in (self.layout.folder, state.nspawn_root(), STATE_ROOT):
                    with contextlib.suppress(OSError):
                        folder.rmdir()
                raise
            lower = self._image(progress)
            key = ssh.lab_key(self.lab.lab_dir)
            make_dir(store_dir())
            ssh.make_control_dirs(lab_id)
            self._each_host(Maker(self.lab, self.layout, record, key, lower, progress))
        return self.hosts()

    def _image(self, progress: Progress) -> Path | None:
        """The image that new hosts lie over; None where every host is there, as each keeps the one it was made from."""
        if all(self.layout.host(spec.name) for spec in self.lab.hosts):
            return None
        return image.path_of(image.of_lab(self.lab, progress).digest)

    def _network(self, lab_id: str, progress: Progress) -> state.LabRecord:
        """Subnet, addresses, bridge and rules. One lab at a time, or two would find the same subnet free."""
        layout = self.layout
        with state.locked(state.nspawn_root(), wait=True):
            self._refuse_others()
            record = layout.lab() or state.LabRecord(self.lab.name, lab_id, str(self.lab.lab_dir))
            wanted = self.lab.provider.subnet
            if record.subnet and wanted and IPv4Network(wanted) != IPv4Network(record.subnet):
                raise ProviderError(
                    f"the lab has subnet {record.subnet}, lab.yml now says {wanted}",
                    hint="labctl down, then labctl up",
                )
            subnet = IPv4Network(record.subnet) if record.subnet else self._choose_subnet()
            addresses = network.allot(subnet, (spec.name for spec in self.lab.hosts), record.addresses)
            changed = dataclasses.replace(
                record,
                lab_dir=str(self.lab.lab_dir),
                subnet=str(subnet),
                bridge=network.bridge_name(lab_id),
                addresses=addresses,
            )
            if changed != layout.lab():
                state.write(layout.lab_file, changed)
            if firewall.ensure_forwarding(state.nspawn_root() / "ip_forward.json", supervisor.boot_id()):
                progress("", "switched on forwarding")
            if limits.ensure(state.nspawn_root() / "limits.json", supervisor.boot_id()):
                progress("", "raised the kernel's limits of inotify")
            if network.ensure_bridge(changed.bridge, lab_id, subnet):
                progress("", f"made bridge {changed.bridge} with {subnet}")
            if firewall.ensure(lab_id, changed.bridge, subnet):
                progress("", "set forwarding rules")
        return changed

    def _each_host(self, maker: Maker) -> None:
        """Make all roots, write what ssh needs, then start and wait; hosts side by side in each step."""
        names = [spec.name for spec in self.lab.hosts]
        failed: dict[str, LabError] = {}
        with ThreadPoolExecutor(max_workers=max(8, 2 * (os.cpu_count() or 1))) as pool:

            def each(action: Callable[[str], None]) -> None:
                def guarded(name: str) -> None:
                    try:
                        if name not in failed and not maker.stop.is_set():
                            action(name)
                    except LabError as exc:
                        failed[name] = exc
                    except OSError as exc:
                        failed[name] = ProviderError(f"{exc.strerror}: {exc.filename}")

                try:
                    for _ in pool.map(guarded, names):
                        pass
                except BaseException:
                    # Ctrl-C: hosts that boot go on booting, nobody waits for them.
                    maker.stop.set()
                    raise

            each(maker.make)
            self._client_files(maker)
            each(maker.start)
            each(maker.wait)
        if failed:
            findings = tuple(Finding(f"host {name}", str(exc)) for name, exc in failed.items())
            hint = next((exc.hint for exc in failed.values() if exc.hint), "the same command again tries anew")
            raise ProviderError(f"{len(failed)} of {len(names)} hosts did not come up", hint=hint, findings=findings)

    def _client_files(self, maker: Maker) -> None:
        folder = self.lab.lab_dir / "ssh"
        values = {
            "key": ssh.quoted(folder / "id_ed25519"),
            "known_hosts": ssh.quoted(folder / "known_hosts"),
        }
        records = [record for host in maker.record.addresses if (record := maker.layout.host(host))]
        targets = [ssh.Target(record.name, record.address) for record in records]
        keys = {record.name: (record.address, record.host_key) for record in records}
        common = tuple(option.format(**values) for option in SSH_OPTIONS)
        ssh.write_client_files(
            self.lab.lab_dir, ssh.known_hosts_text(keys), ssh.config_text(maker.record.id, targets, common)
        )

    def remove(self, names: Collection[str], progress: Progress = no_progress) -> list[str]:
        if findings := preflight.machine():
            raise PreflightError(f"{findings[0].what}", hint=findings[0].mend, findings=tuple(findings))
        return remove(self.lab, self.layout, names, progress) if self.lab.lab_id() else []

    def destroy(self, progress: Progress = no_progress) -> list[str]:
        if findings := preflight.machine():
            raise PreflightError(f"{findings[0].what}", hint=findings[0].mend, findings=tuple(findings))
        if not self.lab.lab_id():
            self._refuse_others()
            return []
        return destroy(self.lab, self.layout, progress)
