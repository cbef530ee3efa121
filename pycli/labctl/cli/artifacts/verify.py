# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl artifacts verify"""

from __future__ import annotations

import typer

from labctl.cli.options import JsonOption, app_of


def register(cli: typer.Typer) -> None:
    cli.command("verify")(verify)


def verify(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Read every byte of the store again and compare it with its digest.

    Ends with 3 where something is damaged; labctl artifacts fetch mends it.
    """
    from dataclasses import asdict

    from ansible_collections.labctl.stacks.plugins.module_utils.errors import PreflightError

    from labctl.cli.progress import progress
    from labctl.lab.artifacts import verify as check

    app = app_of(ctx)
    with progress(app, "verifying the store") as tell:
        files, damaged = check(tell)
    if as_json:
        app.json({"files": files, "damaged": [asdict(one) for one in damaged]})
        raise typer.Exit(PreflightError.exit_code if damaged else 0)
    if damaged:
        raise PreflightError(
            f"{len(damaged)} of the store's things are not what they should be",
            hint="labctl artifacts fetch mends an artefact, labctl artifacts gc removes what none needs.",
            findings=tuple(damaged),
        )
    app.data(f"{files} files, all of them right")
