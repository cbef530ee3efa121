# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl artifacts fetch"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labctl.cli.options import HERE, AcceptOption, JsonOption, LabOption, app_of, artifacts

if TYPE_CHECKING:
    from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Resolved

    from labctl.cli.app import App

NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME[=VERSION]...]",
        help="Artefacts of the catalogue; what the lab here needs, without any.",
        autocompletion=artifacts,
    ),
]


def register(cli: typer.Typer) -> None:
    cli.command("fetch")(fetch)


def fetch(
    ctx: typer.Context,
    names: NamesArgument = None,
    lab: LabOption = HERE,
    source: Annotated[str, typer.Option("--source", metavar="KIND", help="Take them from this source only.")] = "",
    accept_unpinned: AcceptOption = False,
    as_json: JsonOption = False,
) -> None:
    """Bring artefacts into the store, and verify those that are there.

    Each is tried from its sources in order, several artefacts at a time. What has arrived stays: the same command again
    goes on from there.
    """
    fetched(app_of(ctx), names, lab, source=source, accept_unpinned=accept_unpinned, as_json=as_json)


def fetched(app: App, names: list[str] | None, lab: Path, *, source: str, accept_unpinned: bool, as_json: bool) -> None:
    """Bring artefacts into the store and print what they are."""
    from ansible_collections.labctl.stacks.plugins.module_utils.lablock import LabLock

    from labctl.cli.progress import progress
    from labctl.lab import artifacts as core
    from labctl.lab.locate import find_lab, folder_of

    store = core.store_of(folder_of(lab), accept_unpinned=accept_unpinned)
    lock = None if names else LabLock(folder_of(lab))
    wanted = core.named(names, store) if names else core.wanted(find_lab(lab), store)
    with progress(app, "fetching artefacts") as tell:
        found = core.fetch(wanted, tell, store, source=source, lock=lock)
    report(app, [row_of(one) for one in found], as_json=as_json)


def row_of(found: Resolved) -> dict[str, Any]:
    """What is printed of an artefact that is in the store."""
    return {
        "name": found.name,
        "version": found.version,
        "source": found.source,
        "digest": found.digest,
        "path": str(found.path),
        "notes": list(found.notes),
    }


def report(app: App, rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """Print what was fetched, and what a person should know about it."""
    for row in rows:
        for note in row["notes"]:
            app.tell(f"note: {row['name']}: {note}", "yellow")
    if as_json:
        app.json(rows)
    else:
        header = ["NAME", "VERSION", "SOURCE", "DIGEST", "PATH"]
        app.table(header, [[row[key.lower()] for key in header] for row in rows])
