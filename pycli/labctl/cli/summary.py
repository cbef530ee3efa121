# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `labctl up` ends with: what runs where, where to look at it, what to type next."""

from __future__ import annotations

from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab

from labctl.cli.app import App
from labctl.lab.records import State
from labctl.lab.status import endpoints
from labctl.lab.topology import topology
from labctl.lab.up import Result


def duration(seconds: float) -> str:
    """``8.3 s`` or ``2 min 5 s``."""
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


def announce(app: App, lab: Lab, result: Result, seconds: float) -> None:
    """Print the summary, and once per lab what its user must know of each stack."""
    _notices(app, lab, result)
    if app.quiet:
        return
    for line in result.checks:
        app.data(line)
    if result.checks:
        app.data()
    changes = len(result.changes) + len(result.host_changes)
    what = f"{changes} change{'s' if changes != 1 else ''}" if changes else "nothing to change"
    app.data(f"Lab {lab.name} is up ({what}, {duration(seconds)}).")
    app.data()
    hosts = {host.name: host for host in result.hosts}
    rows = [[s.name, hosts[s.name].address if s.name in hosts else "", ", ".join(s.groups) or "-"] for s in lab.hosts]
    app.table(["HOST", "ADDRESS", "GROUPS"], rows)
    pages = endpoints(lab, hosts, look=False)
    if pages:
        app.data()
        app.table(["SERVICE", "ADDRESS"], [[page["name"], page["url"]] for page in pages])
    _next(app, lab)


def _next(app: App, lab: Lab) -> None:
    names = {host.name for host in lab.hosts}
    commands = [
        line
        for stack in lab.stacks
        for line in topology(stack).next
        # They are written for the default topology; one that names a host this lab lacks helps nobody.
        if line.split()[2:3] and line.split()[2] in names
    ]
    app.data()
    for command in [*commands, "labctl status", "labctl down"]:
        app.data(f"Next: {command}" if command == (commands or ["labctl status"])[0] else f"      {command}")


def _notices(app: App, lab: Lab, result: Result) -> None:
    state = State(lab)
    for stack in result.notices:
        if text := topology(stack).notice:
            app.tell(f"note: {text}", "yellow")
            state.set_noticed(stack)


def foreseen(app: App, result: Result) -> None:
    """What ``up --check`` found."""
    for change in result.host_changes:
        app.data(f"host {change}")
    for host, task in result.changes:
        app.data(f"{host}: {task}")
    if not result.host_changes and not result.changes:
        app.data("nothing to change")
