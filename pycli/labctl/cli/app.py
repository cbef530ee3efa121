# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every command gets from the command line as a whole: where to print, and how much."""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ansible_collections.labctl.stacks.plugins.module_utils.errors import LabError
    from rich.console import Console
    from rich.text import Text


@dataclass
class App:
    """The settings that hold for any command. ``tail`` is what stands after ``--``; None where there is no ``--``.

    Data goes to standard output through ``data``, everything else to standard error through ``say``.
    """

    argv: list[str] = field(default_factory=list)
    tail: list[str] | None = None
    verbosity: int = 0
    quiet: bool = False
    debug: bool = False
    color: bool = True

    @cached_property
    def out(self) -> Console:
        return self._console(stderr=False)

    @cached_property
    def err(self) -> Console:
        return self._console(stderr=True)

    def _console(self, *, stderr: bool) -> Console:
        from rich.console import Console

        # No markup, emoji or highlighting: text from lab files and hosts is printed as it is.
        return Console(
            stderr=stderr,
            no_color=True if not self.color or os.environ.get("NO_COLOR") else None,
            markup=False,
            emoji=False,
            highlight=False,
        )

    @property
    def command_line(self) -> str:
        """This command as it was typed, for the lock and for messages."""
        return shlex.join(["labctl", *self.argv])[:200]

    def data(self, text: str = "") -> None:
        """A line of what was asked for."""
        sys.stdout.write(f"{text}\n")

    def json(self, data: Any) -> None:
        json.dump(data, sys.stdout, indent=2, default=str)
        sys.stdout.write("\n")

    def say(self, text: str, style: str = "") -> None:
        """A line of talk; silent under --quiet."""
        if not self.quiet:
            self.tell(text, style)

    def tell(self, text: str | Text, style: str = "") -> None:
        """A line of talk that --quiet does not silence; never broken, so that it can be copied."""
        self.err.print(text, style=style or None, soft_wrap=True)

    def fail(self, error: LabError) -> None:
        """Show an error with all its findings, and what to do about it."""
        from rich.text import Text

        self.tell(Text.assemble(("error: ", "bold red"), str(error)))
        for finding in error.findings:
            self.tell("  " + str(finding).replace("\n", "\n    "))
        if error.hint:
            self.tell(Text.assemble(("hint: ", "bold cyan"), error.hint))

    def table(self, header: list[str], rows: list[list[str]]) -> None:
        """Columns on standard output, as wide as they need to be, the same on a terminal and in a pipe."""
        widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
        for row in [header, *rows]:
            self.data("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
