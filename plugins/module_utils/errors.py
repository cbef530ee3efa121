# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the errors every part raises, and the exit code each ends in.

An error says what is wrong (``str(exc)``), what to do about it (``hint``), and, where several things are wrong
at once, all of them (``findings``). It is turned into ``fail_json``, ``AnsibleError`` or an exit code at the
edge only: modules, plugins and the command each have one place that does so.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: where it stands (file, line, key), what it is, and how to mend it."""

    where: str
    what: str
    mend: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text} ({self.mend})" if self.mend else text


class LabError(Exception):
    """Something the user can be told in a line, with a hint and an exit code. The base is exit code 1, a bug."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", findings: tuple[Finding, ...] = ()) -> None:
        super().__init__(message)
        self.hint = hint
        self.findings = findings

    @property
    def report(self) -> str:
        """The message and every finding, a line each: what a module's ``msg`` shows."""
        lines = [str(self), *(f"  {finding}" for finding in self.findings)]
        return "\n".join(lines)


class InputError(LabError):
    """The lab file, an option or a name is not acceptable. Nothing was touched."""

    exit_code = 2


class PreflightError(LabError):
    """The machine lacks a tool, a right, an artefact or capacity. Nothing was touched."""

    exit_code = 3


class ProviderError(LabError):
    """Hosts could not be made, reached or removed."""

    exit_code = 4


class ConvergeError(LabError):
    """Some host did not reach the state that was asked for."""

    exit_code = 5


class CheckError(LabError):
    """The product does not do what its user would expect of it."""

    exit_code = 6


class LockedError(LabError):
    """Another command works on this lab."""

    exit_code = 7
