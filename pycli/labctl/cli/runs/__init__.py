# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl runs: what was done to a lab."""

from __future__ import annotations

import typer

from labctl.cli.runs import list as listing
from labctl.cli.runs import show


def register(cli: typer.Typer) -> None:
    runs = typer.Typer(
        help="Look at the records of what was done to the lab.", no_args_is_help=True, rich_markup_mode=None
    )
    listing.register(runs)
    show.register(runs)
    cli.add_typer(runs, name="runs")
