# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl down"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from labctl.cli.options import HERE, LabOption, app_of


def register(cli: typer.Typer) -> None:
    cli.command()(down)


def down(
    ctx: typer.Context,
    lab: LabOption = HERE,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove the lab, with all data on its hosts.

    Its network and keys go too. A lab.yml of your own stays. Twice is fine.
    """
    from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError
    from ansible_collections.labctl.stacks.plugins.module_utils.lab import load_lab

    from labctl.cli.progress import progress
    from labctl.lab import down as core
    from labctl.lab.locate import find_spec
    from labctl.lab.lock import locked

    app = app_of(ctx)
    spec = find_spec(lab)
    found = load_lab(spec) if spec else None
    loss = core.loss(found) if found else None
    if found is None or loss is None or not loss.anything:
        app.say("nothing to remove")
        return
    if loss.hosts and not yes:
        names = ", ".join(f"{host.name} ({host.address or host.state})" for host in loss.hosts)
        app.say(f"This removes lab {found.name}, with all data on its hosts: {names}.")
        if not sys.stdin.isatty():
            raise InputError("down needs a yes, and there is no terminal to ask on", hint="labctl down --yes")
        typer.confirm("Remove it?", abort=True, err=True)
    with locked(found.lab_dir, app.command_line), progress(app, f"removing lab {found.name}") as tell:
        removed = core.down(found, tell)
    for line in removed:
        app.say(f"removed {line}")
    app.say(f"Lab {found.name} is gone." if removed else "nothing to remove")
