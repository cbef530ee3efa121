# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl artifacts build"""

from __future__ import annotations

from typing import Annotated

import typer

from labctl.cli.options import HERE, JsonOption, LabOption, app_of, artifacts

NamesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME[=VERSION]...",
        help="Artefacts of the catalogue that have a source go or image.",
        autocompletion=artifacts,
    ),
]


def register(cli: typer.Typer) -> None:
    cli.command("build")(build)


def build(ctx: typer.Context, names: NamesArgument, lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """Build artefacts on this machine, from Go modules or as container images, even where they could be downloaded.

    What an image is made of is brought or built first. What is built stays: the same command again goes on from there.
    """
    from labctl.cli.artifacts.fetch import report, row_of
    from labctl.cli.progress import progress
    from labctl.lab import artifacts as core
    from labctl.lab.locate import folder_of

    app = app_of(ctx)
    store = core.store_of(folder_of(lab))
    with progress(app, "building artefacts") as tell:
        found = core.build(core.named(names, store), tell, store)
    report(app, [row_of(one) for one in found], as_json=as_json)
