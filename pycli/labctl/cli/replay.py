# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl replay"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from labctl.cli.diff import DRIFT
from labctl.cli.options import HERE, JsonOption, LabOption, app_of


def register(cli: typer.Typer) -> None:
    cli.command()(replay)


def replay(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, the beginning of one, or last.")],
    lab: LabOption = HERE,
    into: Annotated[
        Path | None, typer.Option("--into", metavar="DIR", help="The new lab's folder.", show_default=False)
    ] = None,
    provider: Annotated[
        str | None, typer.Option("--provider", help="Make the hosts with another provider.", show_default=False)
    ] = None,
    allow_different: Annotated[
        bool, typer.Option("--allow-different", help="Also with another collection or other artefacts.")
    ] = False,
    skip_check: Annotated[bool, typer.Option("--skip-check", help="Do not prove the stacks of the new lab.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make the lab of a run again, in a new folder, and say what came out different.

    The new lab has the folder's name, and is a lab like any other. Ends with 8 where something differs.
    """
    from labctl.cli.progress import progress
    from labctl.lab import replay as core
    from labctl.lab import up
    from labctl.lab.locate import find_lab
    from labctl.lab.lock import locked
    from labctl.lab.plan import make_plan
    from labctl.lab.records import read_json, recorded
    from labctl.lab.runs import load

    app = app_of(ctx)
    old = find_lab(lab)
    record = load(old, run)
    unlike = core.check_same(old, record)
    core.refuse_different(record, unlike, allow=allow_different)
    new = core.restore(old, record, into or Path(f"replay-{record['id']}"), provider)
    began = time.monotonic()
    options = up.Options(check_product=not skip_check, verbosity=app.verbosity)
    up.preflight(new)
    with locked(new.lab_dir, app.command_line), recorded(new, "up", app.argv) as again:
        again.note(replay_of=record["id"])
        with progress(app, f"{new.name}: {len(new.hosts)} hosts") as tell:
            up.up(new, options, tell, again, make_plan(new))
    before = read_json(old.lab_dir / "runs" / record["id"] / "hosts.json")
    lines = [str(one) for one in unlike]
    lines += (
        core.compare(before, read_json(again.folder / "hosts.json")) if before else ["that run left no list of things"]
    )
    if as_json:
        app.json({"run": record["id"], "lab": new.name, "folder": str(new.spec.parent), "differences": lines})
    else:
        for line in lines:
            app.data(line)
        app.say(f"Lab {new.name} is up in {new.spec.parent} ({time.monotonic() - began:.1f} s).")
        app.data("no difference" if not lines else f"{len(lines)} differences from run {record['id']}")
    if lines:
        raise typer.Exit(DRIFT)
