# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl demo"""

from __future__ import annotations

from typing import Annotated

import typer

from labctl.cli.options import HERE, JsonOption, LabOption, app_of, stacks


def register(cli: typer.Typer) -> None:
    cli.command()(demo)


def demo(
    ctx: typer.Context,
    stack: Annotated[
        str | None,
        typer.Argument(metavar="[STACK]", help="The stack; needed where several have a demo.", autocompletion=stacks),
    ] = None,
    lab: LabOption = HERE,
    remove: Annotated[bool, typer.Option("--remove", help="Take it away again.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a small application on the lab, and say where its page is.

    Yours to play with: up does not mend what you change of it. The same command does, and --remove takes it away.
    """
    from labctl.cli.progress import progress
    from labctl.lab import demo as core
    from labctl.lab.locate import ensure_inventory, find_lab
    from labctl.lab.lock import locked
    from labctl.lab.records import recorded

    app = app_of(ctx)
    found = find_lab(lab)
    meant = core.stack_of(found, stack)
    with locked(found.lab_dir, app.command_line), recorded(found, "demo", app.argv) as run:
        ensure_inventory(found)
        with progress(app, f"{found.name}: demo of {meant}") as tell:
            pages = core.demo(found, meant, tell, run, remove=remove, verbosity=app.verbosity)
    if as_json:
        app.json({"stack": meant, "pages": pages})
        return
    for page in pages:
        app.data(page)
    if remove:
        app.say(f"The demo of {meant} is gone.")
