# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Doubles for what labctl's core reaches out to: a provider that makes no hosts, a runner that starts no Ansible.

The runner leaves a digest of a manifest for each host it ran on in the lab folder, as the collection's actions do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import Finding, PreflightError, ProviderError
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab
from ansible_collections.labctl.stacks.plugins.module_utils.providers.base import Change, Host, Progress, Provider
from labctl.ansible import runner
from labctl.ansible.outcome import Failure, Outcome
from labctl.lab import backend
from labctl.lab.backend import ArtifactState
from labctl.lab.events import Event, Listener
from labctl.lab.verify import Drift, HostReport


class World:
    """What exists outside: states of hosts by lab file, and what the next calls are to answer."""

    def __init__(self) -> None:
        self.states: dict[Path, dict[str, str]] = {}
        self.lacking: tuple[Finding, ...] = ()
        self.dead: set[str] = set()
        self.calls: list[str] = []
        self.outcomes: dict[str, Callable[[runner.Playbook], Outcome]] = {}
        self.playbooks: list[runner.Playbook] = []
        self.artifact: Callable[[str], str] = lambda name: f"1.0 from {name}"
        self.stored = True
        #: What the verifier finds; a run of Ansible mends it on the hosts it runs on, but for what is ``stubborn``.
        self.drift: dict[str, list[Drift]] = {}
        self.stubborn = False
        self.silent: dict[str, str] = {}
        self.looked: list[list[str]] = []
        self.files: dict[str, dict[str, bytes]] = {}

    def play(self, playbook: runner.Playbook, listener: Listener) -> Outcome:
        self.calls.append(f"play {playbook.name}" + (f" on {' '.join(playbook.limit)}" if playbook.limit else ""))
        self.playbooks.append(playbook)
        listener(Event("task", "hdfs: Configure"))
        outcome = self.outcomes.get(playbook.name, lambda p: ok(p))(playbook)
        if outcome.ok and not playbook.check and not playbook.name.endswith("_check"):
            for host in playbook.limit or outcome.hosts:
                self.leave_manifest(playbook.private.parents[2], host)
                if not self.stubborn:
                    self.drift.pop(host, None)
        return outcome

    def leave_manifest(self, lab_dir: Path, host: str, digest: str = "a1" * 32) -> None:
        path = lab_dir / "manifests" / host / "hdfs.sha256"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{digest}\n")

    def verify(self, lab: Lab, hosts: Mapping[str, frozenset[str]]) -> dict[str, HostReport]:
        self.looked.append(list(hosts))
        return {host: self._report(lab, host, roles) for host, roles in hosts.items()}

    def _report(self, lab: Lab, host: str, roles: frozenset[str]) -> HostReport:
        if host in self.silent:
            return HostReport(host, False, self.silent[host], {}, (), 0.1)
        kept = backend.kept_digests(lab, host)
        lost = [Drift(role, "manifest", role, "on the host", "a manifest", "none") for role in roles - kept.keys()]
        return HostReport(host, True, "", kept, (*lost, *self.drift.get(host, [])), 0.1)


def ok(playbook: runner.Playbook, **more: Any) -> Outcome:
    return Outcome(playbook.name, hosts=("head", "worker1", "worker2"), tasks=3, seconds=1.5, **more)


def failed(playbook: runner.Playbook, *failures: Failure) -> Outcome:
    return Outcome(playbook.name, rc=2, hosts=("head", "worker1", "worker2"), tasks=3, failures=list(failures))


class FakeProvider(Provider):
    """Keeps states in a World; addresses count up from 10.9.0.2."""

    world: World

    @property
    def _states(self) -> dict[str, str]:
        return self.world.states.setdefault(self.lab.spec, {})

    def preflight(self) -> None:
        self.world.calls.append("preflight")
        if self.world.lacking:
            raise PreflightError("this machine cannot make the hosts", findings=self.world.lacking)

    def plan(self) -> list[Change]:
        actions = {"running": "keep", "stopped": "start"}
        return [
            Change(spec.name, actions.get(self._states.get(spec.name, ""), "create"), "as asked")  # type: ignore[arg-type]
            for spec in self.lab.hosts
        ]

    def remove(self, names: Collection[str], progress: Progress = lambda host, step: None) -> list[str]:
        self.world.calls.append(f"remove {', '.join(names)}")
        return [f"host {name}" for name in names if self._states.pop(name, "")]

    def apply(self, progress: Progress = lambda host, step: None) -> list[Host]:
        self.world.calls.append("apply")
        self.lab.lab_id(create=True)
        for spec in self.lab.hosts:
            progress(spec.name, "boots")
            self._states[spec.name] = "stopped" if spec.name in self.world.dead else "running"
        if self.world.dead:
            findings = tuple(Finding(name, "ssh does not answer") for name in sorted(self.world.dead))
            raise ProviderError("not every host came up", findings=findings)
        return self.hosts()

    def hosts(self) -> list[Host]:
        found = []
        for number, spec in enumerate(self.lab.hosts, start=2):
            state = self._states.get(spec.name, "absent")
            address = "" if state == "absent" else f"10.9.0.{number}"
            found.append(Host(spec.name, address, state, self.variables(spec, address)))  # type: ignore[arg-type]
        return found

    def destroy(self, progress: Progress = lambda host, step: None) -> list[str]:
        self.world.calls.append("destroy")
        removed = [f"host {name}" for name in self._states]
        self._states.clear()
        return removed


def install(monkeypatch: pytest.MonkeyPatch) -> World:
    """Put the doubles in place for one test."""
    world = World()

    def provider_for(lab: Lab) -> FakeProvider:
        provider = FakeProvider(lab)
        provider.world = world
        return provider

    def resolve(
        lab: Lab, name: str, progress: Callable[[str, int, int], None], *, accept_unpinned: bool = False
    ) -> str:
        world.calls.append(f"artefact {name}" + (" on trust" if accept_unpinned else ""))
        progress("download", 5_000_000, 10_000_000)
        return world.artifact(name)

    monkeypatch.setattr(backend, "provider_for", provider_for)
    monkeypatch.setattr(backend, "resolve_artifact", resolve)
    monkeypatch.setattr(
        backend, "artifact_state", lambda lab, name: ArtifactState(name, "1.0", "d1" if world.stored else "")
    )
    monkeypatch.setattr(backend, "verify", world.verify)
    monkeypatch.setattr(backend, "file_content", lambda lab, host, paths: world.files.get(host, {}))
    monkeypatch.setattr(runner, "run_playbook", world.play)
    return world
