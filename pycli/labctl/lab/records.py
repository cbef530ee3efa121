# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab's folder remembers: each run, which stacks were checked, which notices were given."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.errors import LabError
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab
from ansible_collections.labctl.stacks.plugins.module_utils.paths import chown_to_caller, make_dir

from labctl.lab.interrupt import Interrupted

#: Older runs are removed when a new one starts.
KEPT_RUNS = 20
#: The folder of a run that Ansible works in, there only while it does.
PRIVATE = "ansible"


def write_json(path: Path, data: Any) -> None:
    """Replace a file at once, so that a reader, or a power cut, sees the old or the new and nothing between."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as stream:
        json.dump(data, stream, indent=1, sort_keys=True)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    chown_to_caller(draft)
    draft.replace(path)


class State:
    """``<lab folder>/state.json``; one that is missing or unreadable counts as empty, which costs a check at most."""

    def __init__(self, lab: Lab) -> None:
        self._path = lab.lab_dir / "state.json"
        self._id = lab.lab_id()
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            data = {}
        fresh = isinstance(data, dict) and data.get("version") == 1 and data.get("lab") == self._id
        self._checked: set[str] = set(map(str, data.get("checked", []))) if fresh else set()
        self._noticed: set[str] = set(map(str, data.get("noticed", []))) if fresh else set()

    def checked(self, stack: str) -> bool:
        return stack in self._checked

    def noticed(self, stack: str) -> bool:
        return stack in self._noticed

    def set_checked(self, stack: str, value: bool) -> None:
        (self._checked.add if value else self._checked.discard)(stack)
        self._save()

    def set_noticed(self, stack: str) -> None:
        self._noticed.add(stack)
        self._save()

    def _save(self) -> None:
        content = {"version": 1, "lab": self._id, "checked": sorted(self._checked), "noticed": sorted(self._noticed)}
        write_json(self._path, content)


class Run:
    """One execution of a command that changes a lab, kept in ``<lab folder>/runs/<id>/run.json``."""

    def __init__(self, lab: Lab, command: str, argv: Sequence[str] = ()) -> None:
        runs = make_dir(lab.lab_dir / "runs", 0o700)
        _prune(runs)
        self.id = f"{time.strftime('%Y%m%dT%H%M%S')}-{command}-{secrets.token_hex(2)}"
        self.folder = make_dir(runs / self.id, 0o700)
        self._began = time.monotonic()
        self._data: dict[str, Any] = {
            "version": 1,
            "id": self.id,
            "command": command,
            "argv": list(argv),
            "lab": lab.name,
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "versions": versions(),
            "result": "running",
            "timings": {},
            "playbooks": [],
        }
        write_json(self.folder / "run.json", self._data)

    def timing(self, step: str, seconds: float) -> None:
        """How long a step took, in seconds."""
        self._data["timings"][step] = round(seconds, 3)

    @property
    def private(self) -> Path:
        """Where Ansible may work; the runner makes and removes it."""
        return self.folder / PRIVATE

    def playbook(self, summary: dict[str, Any]) -> None:
        self._data["playbooks"].append(summary)

    def end(self, result: str, message: str = "") -> None:
        """Write the record; ``result`` is done, failed or interrupted."""
        self.timing("all", time.monotonic() - self._began)
        self._data |= {"result": result, "message": message, "ended": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
        write_json(self.folder / "run.json", self._data)


@contextlib.contextmanager
def recorded(lab: Lab, command: str, argv: Sequence[str] = ()) -> Iterator[Run]:
    """A run whose record says how it ended, whichever way that was."""
    run = Run(lab, command, argv)
    try:
        yield run
    except LabError as exc:
        run.end("failed", str(exc))
        raise
    except Interrupted:
        run.end("interrupted")
        raise
    except BaseException as exc:
        run.end("failed", type(exc).__name__)
        raise
    run.end("done")


def _prune(runs: Path) -> None:
    """Called with the lab's lock held, so that no other run is under way."""
    old = sorted(path for path in runs.iterdir() if path.is_dir() and not path.is_symlink())
    for path in old:
        # Left by a run that was killed; it holds more than a record may keep.
        shutil.rmtree(path / PRIVATE, ignore_errors=True)
    for path in old[: max(0, len(old) - KEPT_RUNS + 1)]:
        shutil.rmtree(path, ignore_errors=True)


def versions() -> dict[str, str]:
    """The versions of labctl (which are the collection's too) and of what it stands on."""
    found = {}
    for name in ("labctl", "ansible-core", "ansible-runner"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found | {"python": platform.python_version()}
