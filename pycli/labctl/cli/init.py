# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl init"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from labctl.cli.options import HERE, app_of, stacks


def register(cli: typer.Typer) -> None:
    cli.command()(init)


def init(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to write; made where it is missing.")] = HERE,
    stack: Annotated[str, typer.Option("--stack", help="The stack to run.", autocompletion=stacks)] = "hadoop",
    provider: Annotated[str, typer.Option("--provider", help="Who makes the hosts: nspawn or static.")] = "nspawn",
) -> None:
    """Write the files of a lab to start from.

    These are lab.yml, an inventory file and site.yml, for labctl up and for plain ansible-playbook. Nothing is
    overwritten.
    """
    from labctl.lab.init import write_lab

    app = app_of(ctx)
    for path in write_lab(folder, stack, provider):
        app.say(f"wrote {path}")
    where = "" if folder == HERE else f"cd {shlex.quote(str(folder))} && "
    app.say(f"Next: {where}labctl up, or: {where}ansible-playbook site.yml -i {provider}.yml")
