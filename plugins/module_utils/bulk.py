# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the edge that every bulk module shares: options, manifest, result, errors.

Runs on hosts: standard library and ansible.module_utils.basic only, Python 3.8 and newer.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError, LabError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.manifest import ABSENT, Manifest, locked, section_key

#: The options every bulk module has; see the doc fragment ``labctl.stacks.bulk``.
BULK_OPTIONS: dict[str, Any] = {
    "role": {"type": "str", "required": True},
    "part": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


class Change(NamedTuple):
    """One thing that a call changes, or in check mode would change, in a person's words."""

    what: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.what}: {self.before} -> {self.after}"


@dataclass
class Outcome:
    """What a call did: ``changes`` decide ``changed``; ``values`` are return values of the module's own.

    ``diff`` holds per-file diffs (before, after, before_header, after_header); the changes make a diff of their own.
    """

    changes: list[Change] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    diff: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Take in another section's outcome; lists among the values are joined."""
        self.changes += other.changes
        self.diff += other.diff
        self.warnings += other.warnings
        for name, value in other.values.items():
            held = self.values.get(name)
            self.values[name] = held + value if isinstance(held, list) and isinstance(value, list) else value


@dataclass(frozen=True)
class Call:
    """One section of one module call: the role's manifest, the section's key, the options, and whether only to look."""

    manifest: Manifest
    key: str
    params: dict[str, Any]
    check: bool

    def record(self, data: dict[str, Any] | None) -> None:
        """Replace the section and write the manifest; in check mode nothing."""
        if not self.check:
            self.manifest.replace(self.key, data)
            self.manifest.save()

    def record_later(self, data: dict[str, Any] | None) -> None:
        """The same for a module that did not hold the lock meanwhile: what others wrote since then is kept."""
        if not self.check:
            with locked(self.manifest.root):
                now = Manifest.load(self.manifest.role, self.manifest.root)
                now.replace(self.key, data)
                now.save()


def command(argv: list[str], *, timeout: float = 600, check: bool = True, what: str = "") -> str:
    """Run a program with a plain locale and return its stdout. ConvergeError with the end of its output if it fails.

    With ``check`` off a non-zero exit is not an error.
    """
    environment = {**os.environ, "LC_ALL": "C", "LANGUAGE": "C"}
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, env=environment, check=False
        )
    except FileNotFoundError:
        raise PreflightError(f"{argv[0]} is not installed on this host") from None
    except subprocess.TimeoutExpired:
        raise ConvergeError(f"{what or ' '.join(argv)}: not done after {timeout:.0f} s") from None
    stdout, stderr = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
    if check and done.returncode != 0:
        said = (stderr.strip() or stdout.strip())[-1500:]
        raise ConvergeError(f"{what or ' '.join(argv)}: exit code {done.returncode}: {said}")
    return stdout


def run_bulk(
    module: Any,
    name: str,
    present: Callable[[Call], Outcome],
    absent: Callable[[Call], Outcome],
    *,
    hold_lock: bool = True,
) -> None:
    """Run a bulk module to its end: ``exit_json`` or ``fail_json``.

    ``state=present`` converges the section of ``part`` (default ``main``); ``state=absent`` undoes that of ``part``,
    or without ``part`` every section this module wrote for the role. With ``hold_lock`` off the host's manifests are
    not locked, and the module records by :meth:`Call.record_later`.
    """
    role, part, state = (module.params[option] for option in ("role", "part", "state"))
    manifest: Manifest | None = None
    outcome = Outcome()
    error: dict[str, Any] = {}
    try:
        if os.geteuid() != 0:
            raise PreflightError(f"{name} manages the system and needs root", hint="set become: true")
        with ExitStack() as stack:
            if hold_lock and not module.check_mode:
                stack.enter_context(locked())
            manifest = Manifest.load(role)
            if state == "present":
                outcome = present(Call(manifest, section_key(name, part or "main"), module.params, module.check_mode))
            else:
                for key in [section_key(name, part)] if part else manifest.keys(name):
                    outcome.add(absent(Call(manifest, key, module.params, module.check_mode)))
    except LabError as exc:
        error = {"msg": "\n".join(filter(None, [exc.report, exc.hint and f"hint: {exc.hint}"])), "hint": exc.hint}
        # What an error of the module's own tells its action.
        error.update(getattr(exc, "values", {}))
    except OSError as exc:
        error = {"msg": f"{name}: {exc}", "hint": ""}
    finish(module, manifest, outcome, error)


def finish(module: Any, manifest: Manifest | None, outcome: Outcome, error: dict[str, Any]) -> None:
    """End the module with the result that every bulk module gives, also on failure: the manifest may have changed."""
    result = dict(outcome.values)
    result["changed"] = bool(outcome.changes)
    result["changes"] = [str(change) for change in outcome.changes]
    if manifest is not None:
        result["manifest"] = {"role": manifest.role, "sha256": manifest.sha256}
        for warning in manifest.warnings + outcome.warnings:
            module.warn(warning)
    if module._diff and (outcome.changes or outcome.diff):
        result["diff"] = diff_of(outcome)
    if error:
        module.fail_json(**{**result, **error})
    module.exit_json(**result)


def diff_of(outcome: Outcome) -> list[dict[str, str]]:
    """The per-file diffs, and one of a line per change for all that is not told by those."""
    shown = {one["before_header"] for one in outcome.diff}
    lines = [
        change
        for change in outcome.changes
        if change.what not in shown or not (change.before == ABSENT or change.after.startswith(change.before))
    ]
    if not lines:
        return outcome.diff
    summary = {
        "before_header": "host",
        "after_header": "host",
        "before": "".join(f"{change.what}: {change.before}\n" for change in lines),
        "after": "".join(f"{change.what}: {change.after}\n" for change in lines),
    }
    return [summary, *outcome.diff]
