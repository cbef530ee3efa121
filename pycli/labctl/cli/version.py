# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl version"""

from __future__ import annotations

import typer

from labctl.cli.options import JsonOption, app_of


def register(cli: typer.Typer) -> None:
    cli.command()(version)


def version(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Show the versions of labctl and of what it runs on."""
    from labctl.lab.records import versions

    app = app_of(ctx)
    found = versions()
    if as_json:
        app.json(found)
        return
    for name, value in found.items():
        app.data(f"{name} {value}")
