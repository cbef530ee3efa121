# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl exec"""

from __future__ import annotations

import typer

from labctl.cli.options import HERE, LabOption, TargetArgument, app_of, highest, labelled


def register(cli: typer.Typer) -> None:
    cli.command("exec", epilog="Example: labctl exec worker1 -- df -h /")(execute)


def execute(ctx: typer.Context, target: TargetArgument = None, lab: LabOption = HERE) -> None:
    """Run a command on a host, a group's hosts, or all.

    The command stands after --. Several words are passed on as they are; a single one is for the host's shell, as
    in -- 'ls | wc -l'. Ends with the command's exit code, the highest where several hosts ran it; 255 where ssh
    itself failed.
    """
    from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError

    from labctl.lab import remote
    from labctl.lab.locate import find_lab

    app = app_of(ctx)
    if not app.tail:
        raise InputError("there is no command to run", hint="labctl exec [HOST|GROUP] -- COMMAND")
    found = find_lab(lab)
    names = remote.targets(found, target)
    remote.running(found, names)
    codes = remote.run_everywhere(found, names, app.tail, labelled(names))
    if len(names) > 1:
        for host, code in codes.items():
            if code:
                app.say(f"{host}: exit code {code}", "red")
    raise typer.Exit(highest(codes.values()))
