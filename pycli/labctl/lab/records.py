# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab's folder remembers: how its hosts were converged, and each run that did something.

No value that could be a secret gets into a record: of Ansible's results it keeps names and counts, of inputs keyed
digests. The inputs themselves lie among the lab's secrets (:mod:`labctl.lab.replay`).
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import secrets
import shutil
import threading
import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.errors import LabError
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab
from ansible_collections.labctl.stacks.plugins.module_utils.paths import chown_to_caller, make_dir

from labctl.lab.events import Event, Listener
from labctl.lab.interrupt import Interrupted

#: The newest runs stay, and of older ones those of the last days, up to so many in all. Of runs that found nothing to
#: do only a few stay: an `up` by the minute must not drive out the others.
KEPT_RUNS, KEPT_DAYS, MOST_RUNS, KEPT_NOOPS = 20, 7, 200, 5
#: The folder of a run that Ansible works in, there only while it does.
PRIVATE = "ansible"
NOOP = "noop"
#: Events worth keeping, of which none shows a value: what Ansible prints does, and so does why a host is stale.
_KEPT_EVENTS = {"phase", "host", "task", "result", "failure", "done"}


def write_json(path: Path, data: Any, *, safely: bool = True) -> None:
    """Replace a file at once, so that a reader, or a power cut, sees the old or the new and nothing between.

    Not ``safely``, a power cut may lose it.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(data, sort_keys=True, separators=(",", ":")) if not safely else _pretty(data))
        stream.write("\n")
        if safely:
            stream.flush()
            os.fsync(stream.fileno())
    chown_to_caller(draft)
    draft.replace(path)


def _pretty(data: Any) -> str:
    return json.dumps(data, indent=1, sort_keys=True)


def read_json(path: Path) -> dict[str, Any]:
    """A file with a JSON object; empty where there is none or it makes no sense."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


class State:
    """``<lab folder>/state.json``; one that is missing or unreadable counts as empty, which costs a run at most.

    It keeps which stacks were proven to work, of which the user was given notice, and, by host, with which inputs each
    stack was last converged (digests by part, see :mod:`labctl.lab.digest`) and which manifests that left behind.
    """

    def __init__(self, lab: Lab) -> None:
        self._path = lab.lab_dir / "state.json"
        self._id = lab.lab_id()
        data = read_json(self._path)
        if data.get("version") != 1 or data.get("lab") != self._id:
            data = {}
        self._checked = set(map(str, data.get("checked", [])))
        self._noticed = set(map(str, data.get("noticed", [])))
        self._hosts = _hosts(data.get("hosts"))

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

    def parts(self, host: str, stack: str) -> dict[str, str] | None:
        """The inputs of the last run that converged the host, None where there was none or a later one failed."""
        found = self._stack(host, stack).get("parts")
        return dict(found) if isinstance(found, dict) else None

    def touched(self, host: str, stack: str) -> bool:
        """Whether the stack's playbook has anything to do on the host."""
        return bool(self._stack(host, stack).get("touched", True))

    def manifests(self, host: str) -> dict[str, str]:
        """Role to sha256 of the manifests that the last run left on the host."""
        return dict(self._hosts.get(host, {}).get("manifests", {}))

    def _stack(self, host: str, stack: str) -> dict[str, Any]:
        found: dict[str, Any] = self._hosts.get(host, {}).get("stacks", {}).get(stack, {})
        return found

    def begin(self, stack: str, hosts: Iterable[str]) -> None:
        """Until the run that starts now has ended well, nobody knows what these hosts are like."""
        self._checked.discard(stack)
        for host in hosts:
            self.forget(host, stack)
        self._save()

    def forget(self, host: str, stack: str) -> None:
        """The host is not as its inputs make it; saved with the next :meth:`left_behind`."""
        self._hosts.get(host, {}).get("stacks", {}).pop(stack, None)

    def converged(self, stack: str, hosts: Mapping[str, Mapping[str, str]], touched: Container[str]) -> None:
        """These hosts are as the inputs with these parts make them; saved with the next :meth:`left_behind`."""
        for host, parts in hosts.items():
            stacks = self._hosts.setdefault(host, {}).setdefault("stacks", {})
            stacks[stack] = {"parts": dict(parts), "touched": host in touched}

    def left_behind(self, manifests: Mapping[str, Mapping[str, str]], made: Mapping[str, str]) -> None:
        """Keep the manifests of these hosts, and the parts that the runs since :meth:`begin` have added to.

        Secrets and locked artefacts that only came in addition make no host stale: those it was converged with are
        still the same.
        """
        for host, digests in manifests.items():
            self._hosts.setdefault(host, {})["manifests"] = dict(digests)
        for host in self._hosts.values():
            for stack in host.get("stacks", {}).values():
                stack["parts"] |= made
        self._save()

    def keep_hosts(self, names: Container[str]) -> None:
        """Forget all other hosts."""
        self._hosts = {host: data for host, data in self._hosts.items() if host in names}

    def _save(self) -> None:
        content = {"version": 1, "lab": self._id, "checked": sorted(self._checked), "noticed": sorted(self._noticed)}
        write_json(self._path, content | {"hosts": self._hosts})


def _hosts(data: Any) -> dict[str, Any]:
    """The hosts of a state file; none where anything in it is not as we write it."""
    try:
        return {
            str(host): {
                "manifests": {str(role): str(digest) for role, digest in kept.get("manifests", {}).items()},
                "stacks": {
                    str(stack): {"parts": {**row["parts"]}, "touched": bool(row["touched"])}
                    for stack, row in kept.get("stacks", {}).items()
                },
            }
            for host, kept in (data or {}).items()
        }
    except (AttributeError, KeyError, TypeError):
        return {}


class Run:
    """One execution of a command that changes a lab, kept in ``<lab folder>/runs/<id>/``.

    ``run.json`` says what was run and how it ended, ``events.jsonl`` what happened when, ``hosts.json`` what it left.
    """

    def __init__(self, lab: Lab, command: str, argv: Sequence[str] = ()) -> None:
        runs = make_dir(lab.lab_dir / "runs", 0o700)
        prune(runs)
        now = time.time()
        # Milliseconds, so that ids stand in the order of the runs.
        self.id = f"{_stamp(now)}.{int(now % 1 * 1000):03}-{command}-{secrets.token_hex(2)}"
        self.folder = make_dir(runs / self.id, 0o700)
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._data: dict[str, Any] = {
            "version": 2,
            "id": self.id,
            "command": command,
            "argv": list(argv),
            "lab": lab.name,
            "started": _now(),
            "versions": versions(),
            "result": "running",
            "timings": {},
            "playbooks": [],
        }
        if command != NOOP:
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

    def note(self, **facts: Any) -> None:
        """Add to the record. No values of variables, and nothing that a host said."""
        self._data |= facts

    def left(self, hosts: dict[str, Any]) -> None:
        """Keep what the run left on each host."""
        write_json(self.folder / "hosts.json", hosts)

    def listener(self, tell: Listener) -> Listener:
        """A listener that writes down what happens, and when, before it passes it on."""
        path = self.folder / "events.jsonl"
        path.touch(mode=0o600)
        chown_to_caller(path)

        def hear(event: Event) -> None:
            if event.kind in _KEPT_EVENTS:
                row = [round(time.monotonic() - self._began, 3), event.kind, event.subject, event.text]
                with self._lock, path.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(row) + "\n")
            tell(event)

        return hear

    def end(self, result: str, message: str = "") -> None:
        """Write the record; ``result`` is done, failed or interrupted."""
        self.timing("all", time.monotonic() - self._began)
        self._data |= {"result": result, "message": message, "ended": _now()}
        write_json(self.folder / "run.json", self._data, safely=self._data["command"] != NOOP)


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


def prune(runs: Path) -> None:
    """Remove old runs. Called with the lab's lock held, so that no other run is under way."""
    names = sorted((path.name for path in runs.iterdir() if path.is_dir() and not path.is_symlink()), reverse=True)
    noops = [name for name in names if f"-{NOOP}-" in name]
    others = [name for name in names if name not in set(noops)]
    for name in others:
        # Left by a run that was killed; it holds more than a record may keep.
        if (runs / name / PRIVATE).exists():
            shutil.rmtree(runs / name / PRIVATE, ignore_errors=True)
    oldest = _stamp(time.time() - KEPT_DAYS * 86400)
    # One place is for the run that starts now.
    old = [name for name in others[KEPT_RUNS - 1 :] if name < oldest] + others[MOST_RUNS - 1 :]
    for name in {*old, *noops[KEPT_NOOPS - 1 :]}:
        shutil.rmtree(runs / name, ignore_errors=True)


def versions() -> dict[str, str]:
    """The versions of labctl (which are the collection's too) and of what it stands on."""
    found = {}
    for name in ("labctl", "ansible-core", "ansible-runner"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found | {"python": platform.python_version()}


def _stamp(seconds: float) -> str:
    return time.strftime("%Y%m%dT%H%M%S", time.localtime(seconds))


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
