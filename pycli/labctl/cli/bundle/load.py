# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl bundle import"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labctl.cli.options import HERE, JsonOption, app_of


def register(cli: typer.Typer) -> None:
    cli.command("import")(load)


def load(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What labctl bundle export wrote.")],
    lab: Annotated[
        Path, typer.Option("--lab", "-C", metavar="DIR", help="Where the lab's files go.", show_default=False)
    ] = HERE,
    digest: Annotated[str, typer.Option("--digest", metavar="sha256:HEX", help="The digest that export printed.")] = "",
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="The public key (PEM) it has to be signed by.")
    ] = None,
    accept_unpinned: Annotated[bool, typer.Option("--accept-unpinned", help="Take it on trust.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take a bundle into the store, and the lab's files into this folder; then labctl up works without a network.

    Every file is checked against the bundle's index, and the index against --digest or --key, before any is taken. The
    same command again changes nothing.
    """
    from labctl.cli.progress import progress
    from labctl.lab.bundle.load import Trust
    from labctl.lab.bundle.load import load as core

    app = app_of(ctx)
    with progress(app, f"bundle {file.name}") as tell:
        found = core(file, lab.absolute(), Trust(digest, key, accept_unpinned), tell)
    for note in found.notes:
        app.tell(f"note: {note}", "yellow")
    if as_json:
        app.json(
            {
                "digest": found.digest,
                "lab": found.index.lab,
                "folder": str(found.folder),
                "written": list(found.written),
                "artifacts": [{"name": one.name, "version": one.version} for one in found.index.artifacts],
            }
        )
        return
    app.say(f"lab {found.index.lab} is in {found.folder}, all it needs is in the store; start it with: labctl up")
    app.data(found.digest)
