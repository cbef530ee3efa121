# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl scale"""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from labctl.cli.options import HERE, LabOption, app_of


def register(cli: typer.Typer) -> None:
    cli.command()(scale)


def scale(
    ctx: typer.Context,
    counts: Annotated[
        list[str], typer.Argument(metavar="NAME=COUNT...", help="How many hosts of a name, as in lab.yml.")
    ],
    lab: LabOption = HERE,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Have more or fewer hosts of a kind, and bring the lab in line.

    Hosts that leave are taken out of their stacks first: of Kubernetes, pods move to other nodes. Then they are
    removed, with all data on them. Writes the count into lab.yml, whose comments stay.
    """
    from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError

    from labctl.cli.progress import progress
    from labctl.cli.summary import announce
    from labctl.lab import scale as core
    from labctl.lab import up
    from labctl.lab.locate import find_lab
    from labctl.lab.lock import locked
    from labctl.lab.plan import make_plan
    from labctl.lab.records import recorded

    app = app_of(ctx)
    began = time.monotonic()
    found = find_lab(lab)
    change = core.scaling(found, core.parse(counts))
    if change.leaving and not yes:
        app.say(f"This removes {', '.join(change.leaving)} from lab {found.name}, with all data on them.")
        if not sys.stdin.isatty():
            raise InputError("scale needs a yes, and there is no terminal to ask on", hint="labctl scale --yes")
        typer.confirm("Remove them?", abort=True, err=True)
    with locked(found.lab_dir, app.command_line):
        with recorded(found, "scale", app.argv) as run, progress(app, f"scaling lab {found.name}") as tell:
            removed = core.scale(found, change, tell, run, verbosity=app.verbosity)
        found = find_lab(lab)
        up.preflight(found)
        with recorded(found, "up", app.argv) as run, progress(app, f"{found.name}: {len(found.hosts)} hosts") as tell:
            result = up.up(found, up.Options(verbosity=app.verbosity), tell, run, make_plan(found))
    for line in removed:
        app.say(f"removed {line}")
    announce(app, found, result, time.monotonic() - began)
