# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl doctor"""

from __future__ import annotations

from dataclasses import asdict

import typer

from labctl.cli.options import HERE, JsonOption, LabOption, app_of


def register(cli: typer.Typer) -> None:
    cli.command()(doctor)


def doctor(ctx: typer.Context, lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """Name what this machine lacks, and what mends it.

    Looks at programs, rights and resources: for the lab in this folder, or for a default one.
    """
    from ansible_collections.labctl.stacks.plugins.module_utils.errors import PreflightError
    from ansible_collections.labctl.stacks.plugins.module_utils.lab import load_lab

    from labctl.lab.doctor import examine
    from labctl.lab.locate import find_spec

    app = app_of(ctx)
    spec = find_spec(lab)
    checks = examine(load_lab(spec) if spec else None)
    missing = [check for check in checks if check.needed and not check.ok]
    if as_json:
        app.json([asdict(check) for check in checks])
    else:
        for check in checks:
            word = "ok" if check.ok else "MISSING" if check.needed else "absent"
            app.data(f"{word:<8} {check.name}" + (f": {check.detail}" if check.detail else ""))
            if check.mend and not check.ok:
                app.data(f"         mend: {check.mend}")
        if not missing:
            app.say("This machine has what it takes: labctl up")
    if missing:
        raise typer.Exit(PreflightError.exit_code)
