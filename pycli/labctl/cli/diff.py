# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl diff"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from labctl.cli.options import HERE, JsonOption, LabOption, app_of

if TYPE_CHECKING:
    from labctl.cli.app import App

DRIFT = 8


def register(cli: typer.Typer) -> None:
    cli.command()(diff)


def diff(
    ctx: typer.Context,
    lab: LabOption = HERE,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 8 where there is a difference.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show how the hosts differ from what the last run left there; touch nothing.

    Files with their text, unless it is secret; owners, modes, units, packages and answers in a line each.
    """
    from labctl.cli.progress import progress
    from labctl.lab import diff as core
    from labctl.lab.locate import ensure_inventory, find_lab
    from labctl.lab.lock import locked
    from labctl.lab.plan import make_plan
    from labctl.lab.records import recorded

    app = app_of(ctx)
    found = find_lab(lab)
    plan = make_plan(found, everywhere=True)
    hosts = core.differences(found, plan)
    if asked := core.wanting(found, plan, hosts):
        with locked(found.lab_dir, app.command_line):
            ensure_inventory(found)
            with recorded(found, "diff", app.argv) as run, progress(app, f"{found.name}: texts of files") as tell:
                core.add_texts(found, asked, hosts, tell, run)
    if as_json:
        app.json({host: _data(one) for host, one in hosts.items()})
    else:
        _show(app, hosts)
    if exit_code and any(one.drift or one.error for one in hosts.values()):
        raise typer.Exit(DRIFT)


def _data(host: Any) -> dict[str, Any]:
    from dataclasses import asdict

    rows = [asdict(one) | {"diff": host.texts.get(one.item) if one.kind == "file" else None} for one in host.drift]
    return {"error": host.error, "drift": rows}


def _show(app: App, hosts: dict[str, Any]) -> None:
    for name, host in hosts.items():
        if host.error:
            app.data(f"{name}: {host.error}")
        shown: set[str] = set()
        for one in host.drift:
            app.data(f"{name}: {one}")
            if one.kind == "file" and one.item in host.texts and one.item not in shown:
                shown.add(one.item)
                app.data(host.texts[one.item])
    if not any(host.error or host.drift for host in hosts.values()):
        app.data("no difference")
