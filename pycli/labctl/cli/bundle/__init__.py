# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl bundle: a whole lab in one file."""

from __future__ import annotations

import typer

from labctl.cli.bundle import export
from labctl.cli.bundle import load as imports


def register(cli: typer.Typer) -> None:
    bundle = typer.Typer(
        help="Carry a lab with all it needs to machines without a network, in one file.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    export.register(bundle)
    imports.register(bundle)
    cli.add_typer(bundle, name="bundle")
