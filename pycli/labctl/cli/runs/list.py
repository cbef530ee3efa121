# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl runs list"""

from __future__ import annotations

import shlex
from typing import Any

import typer

from labctl.cli.options import HERE, JsonOption, LabOption, app_of


def register(cli: typer.Typer) -> None:
    cli.command("list")(list_runs)


def list_runs(ctx: typer.Context, lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """List the lab's runs, oldest first."""
    from labctl.lab.locate import find_lab
    from labctl.lab.runs import listing

    app = app_of(ctx)
    rows = [summary(record) for record in listing(find_lab(lab))]
    if as_json:
        app.json(rows)
    elif rows:
        header = ["RUN", "COMMAND", "STARTED", "RESULT", "SECONDS", "CHANGES"]
        app.table(header, [[str(row[key.lower()]) for key in header] for row in rows])
    else:
        app.say("no runs yet: labctl up")


def summary(record: dict[str, Any]) -> dict[str, Any]:
    """A run in a few words; ``changes`` counts the tasks that changed a host, not those of check mode."""
    done = [one for one in record.get("playbooks", []) if not one.get("check")]
    timings = record.get("timings", {})
    return {
        "run": record["id"],
        "command": shlex.join(["labctl", *record.get("argv", [])]),
        "started": record.get("started", ""),
        "result": record.get("result", ""),
        "seconds": round(sum(timings.get(step, 0) for step in ("look", "all")), 1),
        "changes": sum(len(one.get("changed", [])) for one in done),
    }
