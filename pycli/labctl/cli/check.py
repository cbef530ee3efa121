# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl check"""

from __future__ import annotations

import typer

from labctl.cli.options import HERE, JsonOption, LabOption, app_of


def register(cli: typer.Typer) -> None:
    cli.command()(check)


def check(ctx: typer.Context, lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """Prove that the lab's stacks work.

    Uses each as its users would: writes, computes, reads back, and cleans up behind.
    """
    from labctl.cli.progress import progress
    from labctl.lab import converge, remote
    from labctl.lab.locate import ensure_inventory, find_lab
    from labctl.lab.lock import locked
    from labctl.lab.records import State, recorded

    app = app_of(ctx)
    found = find_lab(lab)
    remote.running(found, [host.name for host in found.hosts])
    lines: dict[str, list[str]] = {}
    with locked(found.lab_dir, app.command_line), recorded(found, "check", app.argv) as run:
        ensure_inventory(found)
        state = State(found)
        with progress(app, f"{found.name}: {len(found.hosts)} hosts") as tell:
            for stack in found.stacks:
                lines[stack] = converge.check(found, stack, tell, run, verbosity=app.verbosity)
                state.set_checked(stack, True)
    if as_json:
        app.json(lines)
        return
    for said in lines.values():
        for line in said:
            app.data(line)
    app.data(f"Passed: {', '.join(lines)}" if lines else "The lab has no stack to check.")
