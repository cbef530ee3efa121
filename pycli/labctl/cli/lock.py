# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl lock"""

from __future__ import annotations

from typing import Annotated

import typer

from labctl.cli.options import HERE, AcceptOption, JsonOption, LabOption, app_of, artifacts


def register(cli: typer.Typer) -> None:
    cli.command()(lock)


def lock(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME[=VERSION]...]", help="With --upgrade, move these only.", autocompletion=artifacts
        ),
    ] = None,
    lab: LabOption = HERE,
    upgrade: Annotated[
        bool, typer.Option("--upgrade", help="Move to the catalogue's versions and what their sources give now.")
    ] = False,
    accept_unpinned: AcceptOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show the versions and bytes this lab keeps to, or move them.

    They stand in lab.lock beside lab.yml, written when the lab is first brought up. Later runs install the same, and
    stop where they cannot.
    """
    from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError

    from labctl.lab import locked as core
    from labctl.lab.locate import find_lab

    app = app_of(ctx)
    found = find_lab(lab)
    if names and not upgrade:
        raise InputError("artefacts are named to move them", hint=f"labctl lock --upgrade {' '.join(names)}")
    if not upgrade:
        rows = core.shown(found)
        if as_json:
            app.json(rows)
            return
        header = ["NAME", "VERSION", "ARCH", "DIGEST", "CATALOGUE"]
        app.table(header, [[row[key.lower()] or "-" for key in header] for row in rows])
        return

    from labctl.cli.progress import progress
    from labctl.lab.lock import locked

    with locked(found.lab_dir, app.command_line), progress(app, "fetching artefacts") as tell:
        moved = core.upgrade(found, names or [], tell, accept_unpinned=accept_unpinned)
    if as_json:
        app.json(moved)
        return
    for row in moved:
        app.data(f"{row['name']}: {row['before'] or 'not locked'} -> {row['after']}")
    app.say("labctl up brings the hosts there" if moved else "nothing to move")
