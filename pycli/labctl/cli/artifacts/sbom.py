# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl artifacts sbom"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labctl.cli.options import app_of, stacks


def register(cli: typer.Typer) -> None:
    cli.command("sbom")(sbom)


def sbom(
    ctx: typer.Context,
    lab: Annotated[
        str,
        typer.Argument(
            metavar="[LAB]", help="A lab's folder, its lab file, or a stack; the lab here, without.",
            autocompletion=stacks, show_default=False,
        ),
    ] = ".",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it to this file.")
    ] = None,
) -> None:  # fmt: skip
    """Print what a lab is made of, as CycloneDX 1.6 JSON: artefacts, jars, Go modules, Debian and Python packages.

    Told from the lab's lock, the catalogue and the store; nothing is fetched. The same lab gives the same text.
    """
    from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError

    from labctl.lab import sbom as core
    from labctl.lab.bundle.export import lab_of
    from labctl.lab.locate import write_new

    app = app_of(ctx)
    with lab_of(lab, Path()) as found:
        data = core.sbom(found)
    if not any(part["type"] == "operating-system" for part in data["components"]):
        app.say("the hosts' image is not in it: it is known once the lab was up, or after labctl bundle export")
    if output is None:
        app.data(core.text(data).rstrip())
        return
    try:
        output.unlink(missing_ok=True)
        write_new(output, core.text(data))
    except OSError as exc:
        raise InputError(f"{output} cannot be written: {exc.strerror}") from exc
    app.say(f"{output}: {len(data['components'])} components")
