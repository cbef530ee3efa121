# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl up"""

from __future__ import annotations

import time
from typing import Annotated

import typer

from labctl.cli.options import HERE, AcceptOption, LabOption, app_of, stacks


def register(cli: typer.Typer) -> None:
    cli.command()(up)


def up(
    ctx: typer.Context,
    stack: Annotated[
        str | None,
        typer.Argument(
            metavar="[STACK]", help="Make this stack's default lab where there is no lab.yml.", autocompletion=stacks
        ),
    ] = None,
    lab: LabOption = HERE,
    full: Annotated[bool, typer.Option("--full", help="Run Ansible however sure labctl is.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only say what would change.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show how files change.")] = False,
    skip_check: Annotated[bool, typer.Option("--skip-check", help="Do not prove the stack after a change.")] = False,
    accept_unpinned: AcceptOption = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", hidden=True, help="up asks nothing; for scripts' sake.")] = False,
) -> None:
    """Make the lab's hosts, converge its stacks, and check them.

    Makes and repairs, never removes: the same command again finishes what was interrupted, and changes nothing
    where nothing is to be done. Ansible runs only for hosts whose inputs changed or that are not as it left them.
    """
    from ansible_collections.labctl.stacks.plugins.module_utils.errors import LabError

    from labctl.cli.summary import announce, foreseen
    from labctl.lab import down as removal
    from labctl.lab import up as core
    from labctl.lab.locate import lab_for
    from labctl.lab.lock import locked
    from labctl.lab.plan import make_plan

    app = app_of(ctx)
    began = time.monotonic()
    found, created = lab_for(lab, stack)
    known = bool(found.lab_id())
    try:
        if not known:
            core.preflight(found)
    except LabError:
        if created:
            removal.forget(found)
        raise
    options = core.Options(full, check, diff, not skip_check, app.verbosity, accept_unpinned)
    with locked(found.lab_dir, app.command_line):
        plan = make_plan(found, full=full)
        if core.idle(plan, options):
            result = core.unchanged(found, plan, app.argv, began)
        else:
            from labctl.cli.progress import progress
            from labctl.lab.records import recorded

            if known:
                core.preflight(found)
            with (
                recorded(found, "up", app.argv) as run,
                progress(app, f"{found.name}: {len(found.hosts)} hosts") as tell,
            ):
                result = core.up(found, options, tell, run, plan)
        if check:
            foreseen(app, result)
            if created:
                removal.forget(found)
            return
        announce(app, found, result, time.monotonic() - began)
