# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes sense of the events of one playbook run: what failed where, what changed, what was said."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from labctl.lab.events import Event, Listener

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
#: What ansible-core 2.19 puts before the message of a module or an action.
_PREFIX = re.compile(r"^Task failed: (Module failed: |Action failed: )?")
_LONGEST = 2000


@dataclass(frozen=True)
class Failure:
    """A task that failed on a host, or a host that could not be reached."""

    host: str
    task: str
    message: str
    unreachable: bool = False


@dataclass
class Outcome:
    """What one playbook did. ``rc`` is ansible-playbook's exit code; ``changed`` counts tasks that changed a host.

    ``diffs`` are (host, file, text before, text after), where differences were asked for.
    """

    playbook: str
    rc: int = 0
    seconds: float = 0.0
    tasks: int = 0
    changed: int = 0
    hosts: tuple[str, ...] = ()
    failures: list[Failure] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    changes: list[tuple[str, str]] = field(default_factory=list)
    diffs: list[tuple[str, str, str, str]] = field(default_factory=list)
    role_seconds: dict[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.rc == 0 and not self.failures and bool(self.hosts)

    def summary(self) -> dict[str, Any]:
        """For the run's record: names and counts, no task results, so nothing that could hold a secret."""
        return {
            "playbook": self.playbook,
            "rc": self.rc,
            "seconds": round(self.seconds, 3),
            "tasks": self.tasks,
            "changed": [list(change) for change in self.changes],
            "failed": [[f.host, f.task] for f in self.failures],
            "hosts": list(self.hosts),
            "role_seconds": {role: round(value, 3) for role, value in self.role_seconds.items()},
        }


class Reader:
    """Takes ansible-runner's events one by one; tells a listener, and keeps an Outcome."""

    def __init__(self, playbook: str, listener: Listener, verbosity: int = 0) -> None:
        self.outcome = Outcome(playbook)
        self._tell = listener
        self._verbosity = verbosity
        self._failed: list[Failure] = []
        self._started: set[object] = set()

    def take(self, event: Mapping[str, Any]) -> None:
        kind = str(event.get("event", ""))
        data = event.get("event_data") or {}
        method = getattr(self, f"_{kind}", None)
        if method is not None:
            method(data)
        text = _ANSI.sub("", str(event.get("stdout") or "")).strip()
        if kind in ("verbose", "error", "system_warning") and text and not text.startswith("[WARNING]"):
            self.outcome.errors.extend(text.splitlines())
            del self.outcome.errors[:-20]
        # With --diff the differences come as text of their own; without -v they are all that is passed through.
        if text and (self._verbosity >= 2 or kind == "playbook_on_diff" or (self._verbosity and "WARNING" in text)):
            self._tell(Event("output", kind, text))

    def end(self, rc: int, seconds: float) -> Outcome:
        self.outcome.rc = rc
        self.outcome.seconds = seconds
        return self.outcome

    def _playbook_on_task_start(self, data: Mapping[str, Any]) -> None:
        # Where hosts go at their own pace, a task starts once for each of them.
        if data.get("task_uuid") in self._started:
            return
        self._started.add(data.get("task_uuid"))
        self.outcome.tasks += 1
        self._tell(Event("task", _task_name(data)))

    def _runner_on_ok(self, data: Mapping[str, Any]) -> None:
        self._time(data)
        host, result = str(data.get("host", "")), data.get("res") or {}
        if data.get("task_action") in ("debug", "ansible.builtin.debug"):
            self.outcome.messages.extend(_said(result))
        elif result.get("changed"):
            self.outcome.changed += 1
            self.outcome.changes.append((host, _task_name(data)))
            self.outcome.diffs.extend(_diffs(host, result))
            self._tell(Event("result", host, f"changed: {_task_name(data)}"))
            return
        self._tell(Event("result", host, f"ok: {_task_name(data)}"))

    def _runner_on_failed(self, data: Mapping[str, Any]) -> None:
        self._time(data)
        if data.get("ignore_errors"):
            return
        self._fail(data, unreachable=False)

    def _runner_on_unreachable(self, data: Mapping[str, Any]) -> None:
        self._fail(data, unreachable=True)

    def _fail(self, data: Mapping[str, Any], *, unreachable: bool) -> None:
        message = failure_text(data.get("res") or {})
        failure = Failure(str(data.get("host", "")), _task_name(data), message, unreachable)
        self._failed.append(failure)
        word = "could not be reached" if unreachable else "failed"
        self._tell(Event("failure", failure.host, f"{word}: {failure.task}"))

    def _playbook_on_stats(self, data: Mapping[str, Any]) -> None:
        self.outcome.hosts = tuple(sorted(data.get("processed") or {}))
        lost = {*(data.get("failures") or {}), *(data.get("dark") or {})}
        # A failure that a rescue section made good is none: its host ends well.
        self.outcome.failures = [failure for failure in self._failed if failure.host in lost]

    def _time(self, data: Mapping[str, Any]) -> None:
        role = str(data.get("role") or "").rpartition(".")[2]
        if role and isinstance(data.get("duration"), (int, float)):
            spent = self.outcome.role_seconds
            spent[role] = spent.get(role, 0.0) + float(data["duration"])


def _diffs(host: str, result: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    shown = result.get("diff") or []
    for one in shown if isinstance(shown, list) else [shown]:
        if isinstance(one, dict) and one.get("after_header") and isinstance(one.get("after"), str):
            yield host, str(one["after_header"]), str(one.get("before") or ""), one["after"]


def _task_name(data: Mapping[str, Any]) -> str:
    name = clean(str(data.get("task") or data.get("name") or "?"), 120)
    role = str(data.get("role") or "").rpartition(".")[2]
    name = name.removeprefix(f"{data.get('role')} : ")
    # Ansible's own task before a role; its name is the role's whole summary.
    name = "Check the arguments" if name.startswith("Validating arguments against arg spec ") else name
    return f"{role}: {name}" if role else name


def _said(result: Mapping[str, Any]) -> list[str]:
    """What a debug task shows: its ``msg``, or the value of its ``var``, under whatever name that has."""
    said = [value for key, value in result.items() if key not in ("changed", "failed") and not key.startswith("_")]
    lines: list[str] = []
    for value in said:
        lines += [str(line) for line in value] if isinstance(value, list) else str(value).splitlines()
    return [clean(line) for line in lines]


def clean(text: str, longest: int = _LONGEST) -> str:
    """Text from a host or a file, safe for a terminal: no control sequences, not endless."""
    text = _ANSI.sub("", text)
    safe = "".join(char if char.isprintable() or char == "\n" else " " for char in text)
    return safe if len(safe) <= longest else f"{safe[: longest - 3]}..."


def failure_text(result: Mapping[str, Any]) -> str:
    """What a failed task says of itself, in as few lines as it takes."""
    if "censored" in result:
        return "the result is hidden, because it could hold a secret"
    items = [item for item in result.get("results") or [] if isinstance(item, dict)]
    failed = [item for item in items if item.get("failed") or item.get("unreachable")]
    if failed:
        return clean("\n".join(dict.fromkeys(failure_text(item) for item in failed[:5])))
    parts = [_PREFIX.sub("", str(result.get("msg") or "").strip())]
    for stream in ("stderr", "module_stderr", "stdout", "module_stdout"):
        text = str(result.get(stream) or "").strip()
        if text and text not in parts[0]:
            parts.append("\n".join(text.splitlines()[-5:]))
            break
    return clean("\n".join(part for part in parts if part)) or "no reason was given"
