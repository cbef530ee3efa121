# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl artifacts build"""

from __future__ import annotations

import typer

from labctl.cli.artifacts.fetch import NamesArgument
from labctl.cli.options import HERE, JsonOption, LabOption, app_of


def register(cli: typer.Typer) -> None:
    cli.command("build")(build)


def build(ctx: typer.Context, names: NamesArgument = None, lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """Make artefacts on this machine, from what package registries have, even where they could be downloaded.

    What an image is made of is brought or built first. What is built stays: the same command again goes on from there.
    """
    from labctl.cli.artifacts.fetch import report, row_of
    from labctl.cli.progress import progress
    from labctl.lab import artifacts as core
    from labctl.lab.locate import find_lab, folder_of

    app = app_of(ctx)
    store = core.store_of(folder_of(lab))
    with progress(app, "building artefacts") as tell:
        found = core.build(core.named(names, store) if names else core.wanted(find_lab(lab), store), tell, store)
    report(app, [row_of(one) for one in found], as_json=as_json)
