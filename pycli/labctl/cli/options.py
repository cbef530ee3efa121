# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options and arguments that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer

from labctl.cli.app import App


def hosts_and_groups(incomplete: str) -> list[str]:
    """Words for shell completion: the hosts and groups of the lab in the current folder."""
    try:
        from labctl.lab.locate import find_lab

        lab = find_lab(Path())
    except Exception:
        return []
    return [word for word in [*(host.name for host in lab.hosts), *lab.groups()] if word.startswith(incomplete)]


def stacks(incomplete: str) -> list[str]:
    """Words for shell completion: the stacks there are."""
    from ansible_collections.labctl.stacks.plugins.module_utils.stacks import STACKS

    return [name for name in STACKS if name.startswith(incomplete)]


def artifacts(incomplete: str) -> list[str]:
    """Words for shell completion: the names in the catalogue."""
    from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import names

    return [name for name in names() if name.startswith(incomplete)]


LabOption = Annotated[
    Path, typer.Option("--lab", "-C", metavar="DIR", help="The folder of the lab, or its lab file.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AcceptOption = Annotated[
    bool, typer.Option("--accept-unpinned", help="Take files on trust for which the catalogue knows no digest.")
]
TargetArgument = Annotated[
    str | None,
    typer.Argument(metavar="[HOST|GROUP]", help="One host, a group, or all.", autocompletion=hosts_and_groups),
]
HERE = Path()


def labelled(hosts: list[str]) -> Callable[[str, bool, str], None]:
    """A listener that prints lines of hosts' commands, with the host in front where there are several."""
    width = max(len(host) for host in hosts)

    def listen(host: str, error: bool, line: str) -> None:
        label = f"{host:<{width}} | " if len(hosts) > 1 else ""
        stream = sys.stderr if error else sys.stdout
        stream.write(f"{label}{line}\n")
        stream.flush()

    return listen


def highest(codes: Iterable[int]) -> int:
    """The highest of some commands' exit codes; one ended by a signal counts as 128 plus its number, as in a shell."""
    return max(code if code >= 0 else 128 - code for code in codes)


def app_of(ctx: typer.Context) -> App:
    """The App that main() made for this command."""
    app: App = ctx.obj
    return app
