# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl artifacts gc"""

from __future__ import annotations

from typing import Annotated

import typer

from labctl.cli.options import JsonOption, app_of


def register(cli: typer.Typer) -> None:
    cli.command("gc")(collect)


def collect(
    ctx: typer.Context,
    budget: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Also remove what was not used for longest, until the rest fits, as 10GiB."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove what no artefact needs from the store, and with a budget what is least used.

    What a lab on this machine runs from, or a lab.lock names, stays. A budget counts base images and compilers' caches
    too; the latter go first. All else is fetched again when it is wanted.
    """
    from labctl.cli.progress import size
    from labctl.lab.artifacts import collect as run

    app = app_of(ctx)
    done = run(budget, dry_run=dry_run)
    rows = [{"kind": unit.kind, "name": unit.name, "bytes": unit.size} for unit in done.removed]
    if as_json:
        app.json({"removed": rows, "bytes_left": done.left, "bytes_in_use": done.kept})
        return
    for unit in done.removed:
        app.data(f"{'would remove' if dry_run else 'removed'} {unit.kind} {unit.name[:16]}, {size(unit.size)}")
    app.data(f"{size(done.left)} {'would be' if dry_run else 'are'} left, of them {size(done.kept)} in use")
