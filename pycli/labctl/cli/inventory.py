# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl inventory"""

from __future__ import annotations

import typer

from labctl.cli.options import HERE, LabOption, app_of


def register(cli: typer.Typer) -> None:
    cli.command()(inventory)


def inventory(ctx: typer.Context, lab: LabOption = HERE) -> None:
    """Print the lab as Ansible sees it, as JSON.

    The form is that of ansible-inventory --list.
    """
    from labctl.lab.inventory import inventory as as_data
    from labctl.lab.locate import find_lab

    app_of(ctx).json(as_data(find_lab(lab)))
