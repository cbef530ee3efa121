# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl ssh"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from labctl.cli.options import HERE, LabOption, app_of, hosts_and_groups


def register(cli: typer.Typer) -> None:
    cli.command(epilog="Options of ssh's own, or a command, stand after --.")(ssh)


def ssh(
    ctx: typer.Context,
    host: Annotated[str, typer.Argument(metavar="HOST", help="A host of the lab.", autocompletion=hosts_and_groups)],
    lab: LabOption = HERE,
) -> None:
    """Log in to a host as root."""
    from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError

    from labctl.lab import remote
    from labctl.lab.locate import find_lab

    app = app_of(ctx)
    found = find_lab(lab)
    names = remote.targets(found, host)
    if host not in names:
        raise InputError(f"{host} is a group: choose one of {', '.join(names)}")
    remote.running(found, names)
    argv = remote.ssh_argv(found, host, app.tail or [])
    sys.stdout.flush()
    os.execvp(argv[0], argv)  # noqa: S606  (a list, never a shell: ssh takes our place and the terminal)
