# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How hosts differ from what was left on them, with the text of files.

What differs is the verifier's to say. What a file should hold is known to Ansible alone, as labctl keeps digests and no
bodies: so the stack's playbook runs in check mode, on the hosts with such files only, and tells what it would write.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab

from labctl.ansible.outcome import clean
from labctl.lab import converge
from labctl.lab.events import Listener
from labctl.lab.plan import Plan, findings, hosts_of
from labctl.lab.records import Run

#: Lines of one file's difference that are shown.
LONGEST = 400


@dataclass
class HostDiff:
    """One host's differences; ``texts`` maps files to unified diffs, as they are to as they should be.

    ``error`` says why nothing is known of the host.
    """

    error: str = ""
    drift: list[Any] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> list[str]:
        """Files whose text may be worth a look."""
        found = [one.item for one in self.drift if one.kind == "file" and one.what in ("content", "kind", "stray file")]
        return list(dict.fromkeys(found))


def differences(lab: Lab, plan: Plan) -> dict[str, HostDiff]:
    """Every host of the lab with what is known of it so far, from a plan that looked everywhere."""
    states = {host.name: host.state for host in plan.hosts}
    found = {}
    for spec in lab.hosts:
        report = plan.reports.get(spec.name)
        if report is None:
            state = states.get(spec.name, "absent")
            found[spec.name] = HostDiff(error=f"it is {state}" if state != "running" else "it has to be mended first")
        elif report.error or not report.reachable:
            found[spec.name] = HostDiff(error=findings(report)[0])
        else:
            found[spec.name] = HostDiff(drift=list(report.drift))
    return found


def wanting(lab: Lab, plan: Plan, found: dict[str, HostDiff]) -> dict[str, list[str]]:
    """The stacks to ask what files should hold, with the hosts to ask it of."""
    asked = {stack: [host for host in hosts_of(lab, stack, plan.inputs) if found[host].files] for stack in lab.stacks}
    return {stack: hosts for stack, hosts in asked.items() if hosts}


def add_texts(lab: Lab, asked: dict[str, list[str]], found: dict[str, HostDiff], tell: Listener, run: Run) -> None:
    """Have Ansible's check mode say what drifted files should hold; ConvergeError where it cannot."""
    for stack, hosts in asked.items():
        outcome = converge.play(lab, stack, tell, run, limit=tuple(hosts), check=True, diff=True)
        for host, path, before, after in outcome.diffs:
            if host in hosts and path in found[host].files:
                found[host].texts[path] = unified(host, path, before, after)
        converge.raise_failed(lab, stack, outcome)


def unified(host: str, path: str, before: str, after: str) -> str:
    """A unified diff of a file, safe for a terminal, cut where it is very long."""
    lines = list(
        difflib.unified_diff(
            before.splitlines(),
            after.splitlines(),
            f"{host}:{path}, as it is",
            f"{host}:{path}, as it should be",
            lineterm="",
            n=2,
        )
    )
    if len(lines) > LONGEST:
        lines = [*lines[:LONGEST], f"... {len(lines) - LONGEST} more lines"]
    return "\n".join(clean(line) for line in lines)
