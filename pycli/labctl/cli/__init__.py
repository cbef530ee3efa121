# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The labctl command: registers the commands, and turns every error into a line, a hint and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError, LabError

from labctl.cli import (
    artifacts,
    bundle,
    check,
    demo,
    diff,
    doctor,
    down,
    init,
    inventory,
    lock,
    logs,
    plan,
    replay,
    runs,
    scale,
    ssh,
    status,
    up,
    version,
)
from labctl.cli import exec as execute
from labctl.cli.app import App
from labctl.lab.interrupt import Interrupted, raise_on_signals

BUG, INTERRUPTED = 1, 130
#: Options of labctl itself, which may stand before or after the command.
_COMMON = {"-v", "-vv", "-vvv", "-vvvv", "--verbose", "-q", "--quiet", "--debug", "--no-color"}
#: Commands that take words after ``--``.
_WITH_TAIL = {"exec", "ssh"}

cli = typer.Typer(
    name="labctl",
    help="Real distributed systems on whatever machines you have: makes a lab's hosts, and the stacks on them.",
    epilog="Start with: labctl doctor, then labctl up hadoop.",
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(ctx: typer.Context, wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        ctx.obj.data(f"labctl {metadata.version('labctl')}")
        raise typer.Exit


@cli.callback()
def common(
    ctx: typer.Context,
    verbose: Annotated[
        int, typer.Option("-v", "--verbose", count=True, show_default=False, help="Say more; twice for Ansible's own.")
    ] = 0,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but errors.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours; NO_COLOR does the same.")] = False,
    version_only: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show labctl's version and exit.")
    ] = False,
) -> None:
    app: App = ctx.obj
    app.verbosity, app.quiet, app.debug, app.color = verbose, quiet, debug, not no_color
    if app.tail is not None and ctx.invoked_subcommand not in _WITH_TAIL:
        raise InputError(f"labctl {ctx.invoked_subcommand} takes nothing after --")


for command in (
    init,
    up,
    plan,
    diff,
    scale,
    lock,
    status,
    check,
    demo,
    ssh,
    execute,
    logs,
    inventory,
    runs,
    replay,
    artifacts,
    bundle,
    down,
    doctor,
    version,
):
    command.register(cli)


def main(argv: list[str] | None = None) -> NoReturn:
    """Run a command line and exit."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: list[str]) -> int:
    """Run a command line; its exit code. The only place where errors become text."""
    words, tail = _split(argv)
    app = App(argv=argv, tail=tail, debug="--debug" in words, color="--no-color" not in words)
    raise_on_signals()
    try:
        # An empty line asks for help; standalone_mode off leaves exceptions and exit codes to us.
        code = cli(args=_reordered(words) or ["--help"], prog_name="labctl", obj=app, standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except Interrupted as exc:
        app.tell(f"interrupted ({exc}); the same command again goes on from there")
        return INTERRUPTED
    except typer.Abort:
        app.tell("nothing was done")
        return INTERRUPTED
    except LabError as exc:
        if app.debug:
            app.err.print_exception(show_locals=False)
        app.fail(exc)
        return exc.exit_code
    except BrokenPipeError:
        # Who read our output has gone, as `head` does. Python must not complain of it when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERRUPTED
    except Exception as exc:
        return _unexpected(app, exc)


def _unexpected(app: App, exc: Exception) -> int:
    # typer's usage errors derive from a private class; what they can do is public.
    if hasattr(exc, "format_message") and hasattr(exc, "exit_code"):
        context = getattr(exc, "ctx", None)
        app.fail(InputError(exc.format_message(), hint=f"{context.command_path if context else 'labctl'} --help"))
        return InputError.exit_code
    if app.debug:
        app.err.print_exception(show_locals=False)
    kind = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
    app.fail(LabError(f"this is a bug in labctl: {kind}", hint="run it again with --debug and report what it shows"))
    return BUG


def _split(argv: list[str]) -> tuple[list[str], list[str] | None]:
    if "--" not in argv:
        return argv, None
    at = argv.index("--")
    return argv[:at], argv[at + 1 :]


def _reordered(words: list[str]) -> list[str]:
    """Common options first, wherever they were typed; the lab's folder after the command, as there it belongs."""
    if words[:1] and words[0] in ("-C", "--lab") and len(words) > 2:
        words = [*words[2:], *words[:2]]
    return [*(w for w in words if w in _COMMON), *(w for w in words if w not in _COMMON)]
