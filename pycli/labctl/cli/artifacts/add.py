# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl artifacts add"""

from __future__ import annotations

from typing import Annotated

import typer

from labctl.cli.options import HERE, AcceptOption, JsonOption, LabOption, app_of, artifacts


def register(cli: typer.Typer) -> None:
    cli.command("add")(add)


def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=artifacts)],
    version: Annotated[str, typer.Argument(metavar="VERSION")],
    url: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Where it is; may hold {version}, {arch}, {goarch}. Repeat for other places."),
    ] = None,
    checksums: Annotated[
        str, typer.Option(metavar="URL", help="The vendor's checksum file; else looked for beside the file.")
    ] = "",
    like: Annotated[str, typer.Option(metavar="VERSION", help="Go by this version of the catalogue.")] = "",
    path: Annotated[str, typer.Option(metavar="PATH", help="Where a single file goes, bin/NAME by default.")] = "",
    select: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN=FOLDER", help="What of an archive goes where; all of it by default."),
    ] = None,
    summary: Annotated[str, typer.Option(help="What it is, in a line; for a new name.")] = "",
    licence: Annotated[str, typer.Option(metavar="SPDX", help="Its licence; for a new name.")] = "",
    lab: LabOption = HERE,
    accept_unpinned: AcceptOption = False,
    as_json: JsonOption = False,
) -> None:
    """Pin another version in artifacts/ beside lab.yml, from its URLs and the vendor's checksum file.

    A version of what the catalogue knows needs no URL: it is taken to lie where the version before it does.
    """
    from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError

    from labctl.cli.progress import progress
    from labctl.lab.additions import Wanted
    from labctl.lab.additions import add as run
    from labctl.lab.artifacts import store_of
    from labctl.lab.locate import folder_of

    app = app_of(ctx)
    pairs = [tuple(word.split("=", 1)) for word in select or []]
    if bad := [word for word, pair in zip(select or [], pairs, strict=True) if len(pair) != 2]:
        raise InputError(f"--select {bad[0]} has no =", hint="such as --select 'thing-*/bin/*=bin'")
    wanted = Wanted(
        name=name,
        version=version,
        urls=tuple(url or ()),
        checksums=checksums,
        summary=summary,
        licence=licence,
        path=path,
        select=tuple((pair[0], pair[1]) for pair in pairs),
        like=like,
        accept_unpinned=accept_unpinned,
    )
    folder = folder_of(lab)
    with progress(app, f"adding {name} {version}") as tell:
        done = run(wanted, folder / "artifacts", store_of(folder), tell)
    if as_json:
        app.json(done)
        return
    for where, digest in done["digests"].items():
        app.data(f"{where}: {digest}")
    app.say(f"written to {done['file']}; next: labctl artifacts fetch {name}={version}")
