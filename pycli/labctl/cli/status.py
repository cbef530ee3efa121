# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl status"""

from __future__ import annotations

import typer

from labctl.cli.options import HERE, JsonOption, LabOption, app_of


def register(cli: typer.Typer) -> None:
    cli.command()(status)


def status(ctx: typer.Context, lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """Show the lab's hosts, its web addresses, and who works on it."""
    from labctl.lab.locate import find_lab
    from labctl.lab.status import status as look

    app = app_of(ctx)
    found = look(find_lab(lab))
    if as_json:
        app.json(found)
        return
    stacks = ", ".join(found["stacks"]) or "no stack"
    app.data(f"Lab {found['lab']}: {stacks}, on {found['provider']}, from {found['file']}")
    if found["locked_by"]:
        app.data(f"In use by {found['locked_by']}")
    app.data()
    rows = [
        [host["name"], host["state"], host["address"] or "-", _memory(host["memory"]), ", ".join(host["groups"]) or "-"]
        for host in found["hosts"]
    ]
    app.table(["HOST", "STATE", "ADDRESS", "MEMORY", "GROUPS"], rows)
    if constrained := {host["name"]: host["constraints"] for host in found["hosts"] if host["constraints"]}:
        app.data()
        app.table(["HOST", "CONSTRAINTS"], [[name, ", ".join(names)] for name, names in constrained.items()])
    if found["endpoints"]:
        app.data()
        pages = [[e["name"], e["url"], "answers" if e["open"] else "does not answer"] for e in found["endpoints"]]
        app.table(["SERVICE", "ADDRESS", "STATE"], pages)
    if all(host["state"] == "absent" for host in found["hosts"]):
        app.say("\nThe lab is not up: labctl up")


def _memory(size: int | None) -> str:
    if size is None:
        return "no limit"
    return f"{size / 2**30:g}GiB" if size >= 2**30 else f"{size / 2**20:g}MiB"
