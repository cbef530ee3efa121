# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl artifacts: the pinned files that roles install."""

from __future__ import annotations

import typer

from labctl.cli.artifacts import add, build, fetch, gc, sbom, verify
from labctl.cli.artifacts import list as listing


def register(cli: typer.Typer) -> None:
    artifacts = typer.Typer(
        help="Fetch and look after the pinned files that labs are made of.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for command in (listing, fetch, build, verify, gc, add, sbom):
        command.register(artifacts)
    cli.add_typer(artifacts, name="artifacts")
