# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl bundle export"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labctl.cli.options import JsonOption, app_of, stacks


def register(cli: typer.Typer) -> None:
    cli.command("export")(export)


def export(
    ctx: typer.Context,
    lab: Annotated[
        str, typer.Argument(metavar="LAB", help="A lab's folder, its lab file, or a stack.", autocompletion=stacks)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")],
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="Sign the index with this Ed25519 key (PEM).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write all that a lab needs into one file, and print the digest of its index.

    Artefacts, the hosts' image, Debian packages, labctl itself as wheels for this Python, the lab's file and lock. What
    the store lacks is fetched first. The same lab with the same lock gives the same bytes.
    """
    from labctl.cli.progress import progress, size
    from labctl.lab.bundle.export import export as core
    from labctl.lab.bundle.export import lab_of

    app = app_of(ctx)
    with lab_of(lab, Path()) as found, progress(app, f"bundle of {found.name}") as tell:
        made = core(found, output, tell, key=key)
    if as_json:
        files = [member.__dict__ for member in made.index.members]
        app.json(
            {"file": str(output), "bytes": made.size, "digest": made.digest, "lab": made.index.lab, "files": files}
        )
        return
    app.say(
        f"{output}: {len(made.index.members)} files, {size(made.size)}, "
        f"for {made.index.arch} and Python {made.index.python}"
    )
    app.say("Tell those who import it this digest by another way than the file itself:")
    app.data(made.digest)
