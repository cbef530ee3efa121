# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl artifacts list"""

from __future__ import annotations

import typer

from labctl.cli.options import HERE, JsonOption, LabOption, app_of


def register(cli: typer.Typer) -> None:
    cli.command("list")(list_artifacts)


def list_artifacts(ctx: typer.Context, lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """List the catalogue's artefacts, and which of them the store has."""
    from labctl.cli.progress import size
    from labctl.lab.artifacts import listing, store_of
    from labctl.lab.locate import folder_of

    app = app_of(ctx)
    rows = listing(store_of(folder_of(lab)))
    if as_json:
        app.json(rows)
        return
    app.table(
        ["NAME", "VERSION", "STORE", "SIZE", "SOURCES", "LICENCE"],
        [
            [
                row["name"],
                f"{row['version']} *" if row["default"] else row["version"],
                row["digest"][:12] or "-",
                size(row["bytes"]) if row["bytes"] else "",
                ", ".join(row["sources"]),
                row["licence"],
            ]
            for row in rows
        ],
    )
    app.say("* the version where nobody asks for another")
