# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl plan"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from labctl.cli.options import HERE, JsonOption, LabOption, app_of

if TYPE_CHECKING:
    from labctl.cli.app import App


def register(cli: typer.Typer) -> None:
    cli.command()(plan)


def plan(ctx: typer.Context, lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """Say what up would do, and why; touch nothing.

    Hosts to make, artefacts to fetch, stacks to run and on which hosts, what drifted. Starts no Ansible.
    """
    from labctl.lab.locate import find_lab
    from labctl.lab.plan import describe, make_plan

    app = app_of(ctx)
    found = find_lab(lab)
    data = describe(found, make_plan(found, everywhere=True))
    if as_json:
        app.json(data)
        return
    _show(app, data)


def _show(app: App, data: dict[str, Any]) -> None:
    for host in data["hosts"]:
        if host["action"] == "remove":
            app.data(f"host {host['host']}: stays, though {host['reason']}: up removes nothing")
        elif host["action"] != "keep":
            app.data(f"host {host['host']}: {host['action']}, {host['reason']}")
    for artifact in data["artifacts"]:
        if not artifact["present"]:
            app.data(f"artefact {artifact['name']} {artifact['version']}: fetch")
    for stack in data["stacks"]:
        if stack["hosts"]:
            app.data(f"stack {stack['stack']}: run on {', '.join(stack['hosts'])}")
            for who, reason in _together(stack["hosts"]):
                app.data(f"  {who}: {reason}")
        elif stack["prove"]:
            app.data(f"stack {stack['stack']}: prove that it works")
    if data["settled"]:
        app.data("nothing to do: every input is that of the last run, and every host is as it was left")


def _together(hosts: dict[str, list[str]]) -> list[tuple[str, str]]:
    """Each reason once, with the hosts it holds for."""
    reasons: dict[str, list[str]] = {}
    for host, told in hosts.items():
        for reason in told:
            reasons.setdefault(reason, []).append(host)
    every = len(hosts) > 1
    return [
        ("all of them" if every and len(names) == len(hosts) else ", ".join(names), reason)
        for reason, names in reasons.items()
    ]
