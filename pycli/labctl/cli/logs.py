# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl logs"""

from __future__ import annotations

from typing import Annotated

import typer

from labctl.cli.options import HERE, LabOption, TargetArgument, highest, labelled


def register(cli: typer.Typer) -> None:
    cli.command()(logs)


def logs(
    target: TargetArgument = None,
    unit: Annotated[
        str | None, typer.Argument(metavar="[UNIT]", help="One unit; all that labctl manages otherwise.")
    ] = None,
    lab: LabOption = HERE,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on showing what is new.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=100_000, help="How many of the last lines.")] = 50,
) -> None:
    """Show the journal of the lab's services."""
    from labctl.lab import remote
    from labctl.lab.locate import find_lab
    from labctl.lab.logs import journal_command

    found = find_lab(lab)
    names = remote.targets(found, target)
    remote.running(found, names)
    codes = remote.run_everywhere(found, names, journal_command(unit, lines=lines, follow=follow), labelled(names))
    raise typer.Exit(highest(codes.values()))
