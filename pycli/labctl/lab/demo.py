# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a stack's demo on a lab that is up, and takes it away.

A demo is a playbook, ``<stack>_demo.yml``, with ``<stack>_demo_remove.yml``; what it leaves on hosts it records under
the role ``<stack>_demo``, which no stack has, so that ``up`` neither makes it nor mends it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError
from ansible_collections.labctl.stacks.plugins.module_utils.labschema import did_you_mean

from labctl.lab import backend, converge, digest, remote
from labctl.lab.digest import collection_root
from labctl.lab.events import Event, Listener
from labctl.lab.records import State

if TYPE_CHECKING:
    from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab

    from labctl.lab.records import Run


def stack_of(lab: Lab, wanted: str | None) -> str:
    """The stack whose demo is meant. InputError where the lab does not run it, or it has none."""
    folder = collection_root() / "playbooks"
    having = [stack for stack in lab.stacks if (folder / f"{stack}_demo.yml").exists()]
    if wanted is None and len(having) == 1:
        return having[0]
    if wanted is None:
        words = f"those of {', '.join(having)}" if having else "none"
        raise InputError(f"say which demo: lab {lab.name} has {words}", hint="labctl demo STACK")
    if wanted not in lab.stacks:
        raise InputError(f"lab {lab.name} does not run {wanted!r}", hint=did_you_mean(wanted, lab.stacks))
    if wanted not in having:
        raise InputError(f"{wanted} has no demo", hint=f"labctl check proves that {wanted} works")
    return wanted


def demo(lab: Lab, stack: str, tell: Listener, run: Run, *, remove: bool = False, verbosity: int = 0) -> list[str]:
    """Run the demo, or take it away; where its pages are. ConvergeError naming host, task and reason."""
    remote.running(lab, [host.name for host in lab.hosts])
    before = digest.inputs(lab, backend.provider_for(lab).hosts(), digest.lab_key(lab))
    tell(Event("phase", stack, f"{'removing' if remove else 'running'} the demo of {stack}"))
    outcome = converge.play(lab, f"{stack}_demo{'_remove' if remove else ''}", tell, run, verbosity=verbosity)
    _remember(lab, f"{stack}_demo", before)
    converge.raise_failed(lab, stack, outcome)
    tell(Event("done", stack, f"{outcome.tasks} tasks, {outcome.changed} changed"))
    return outcome.messages


def _remember(lab: Lab, role: str, before: digest.Inputs) -> None:
    """Keep what the demo left on hosts and added to the lock: neither makes a host stale, and nothing else is kept."""
    state = State(lab)
    manifests = {}
    for host in lab.hosts:
        if known := state.manifests(host.name):
            kept = backend.kept_digests(lab, host.name)
            manifests[host.name] = {name: value for name, value in known.items() if name != role}
            manifests[host.name] |= {name: value for name, value in kept.items() if name == role}
    locked = {(state.parts(host.name, stack) or {}).get(digest.LOCK) for host in lab.hosts for stack in lab.stacks} - {
        None
    }
    # What somebody changed in the lock before is not ours to hide.
    unchanged = locked <= {before.shared.get(digest.LOCK)}
    state.left_behind(manifests, before.lock_after(lab, digest.lab_key(lab)) if unchanged else {})
