# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl runs show"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from labctl.cli.options import HERE, JsonOption, LabOption, app_of
from labctl.cli.runs.list import summary

if TYPE_CHECKING:
    from labctl.cli.app import App


def register(cli: typer.Typer) -> None:
    cli.command("show")(show)


def show(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, the beginning of one, or last.")],
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Show what a run ran on, what it did, and how it ended."""
    from labctl.lab.locate import find_lab
    from labctl.lab.runs import load

    app = app_of(ctx)
    record = load(find_lab(lab), run)
    if as_json:
        app.json(record)
        return
    _show(app, record)


def _show(app: App, record: dict[str, Any]) -> None:
    row = summary(record)
    app.data(f"{row['run']}: {row['command']}")
    result = f"{row['result']}: {record['message']}" if record.get("message") else row["result"]
    app.data(f"{row['started']}, {row['seconds']} s, {result}")
    versions = " ".join(f"{name} {version}" for name, version in record.get("versions", {}).items())
    app.data(f"with {versions}")
    for name, artifact in record.get("artifacts", {}).items():
        app.data(f"artefact {name} {artifact['version']} {artifact['digest'][:12]}")
    for stack, hosts in record.get("why", {}).items():
        for host, reasons in hosts.items():
            app.data(f"{stack} on {host}: {'; '.join(reasons)}")
    for one in record.get("playbooks", []):
        mode = ", check mode" if one.get("check") else ""
        app.data(f"{one['playbook']}: {one['tasks']} tasks, {one['seconds']} s, exit code {one['rc']}{mode}")
        for host, task in one["changed"]:
            app.data(f"  {'would change' if one.get('check') else 'changed'} {host}: {task}")
        for host, task in one["failed"]:
            app.data(f"  failed {host}: {task}")
