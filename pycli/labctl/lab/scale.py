# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes how many hosts of a kind a lab has: hosts that leave are taken out of their stacks first.

In this order, so that the same command finishes what was interrupted: the stacks let the hosts go, lab.yml says so,
the hosts go; then `up` brings the rest in line, and makes hosts that come.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab, load_lab
from ansible_collections.labctl.stacks.plugins.module_utils.paths import chown_to_caller
from ansible_collections.labctl.stacks.plugins.module_utils.stacks import STACKS

from labctl.lab import backend, converge
from labctl.lab.events import Event, Listener
from labctl.lab.records import Run


@dataclass(frozen=True)
class Scaling:
    """A lab file with other counts: its ``text``, and the hosts that leave and come by it."""

    text: str
    leaving: tuple[str, ...]
    coming: tuple[str, ...]


def parse(words: list[str]) -> dict[str, int]:
    """``["worker=3"]`` as counts by name. InputError for anything else, and for a name that is there twice."""
    found: dict[str, int] = {}
    for word in words:
        name, _, number = word.partition("=")
        if not name or not number.isdecimal() or int(number) < 1:
            raise InputError(
                f"{word!r} is not NAME=COUNT", hint="as in: labctl scale worker=3; labctl down removes all"
            )
        if name in found:
            raise InputError(f"{name} is there twice", hint="give each name once")
        found[name] = int(number)
    return found


def scaling(lab: Lab, counts: dict[str, int]) -> Scaling:
    """What other counts would change. InputError for a name that cannot be counted, and for hosts that cannot leave."""
    text = lab.spec.read_text(encoding="utf-8")
    for name, count in counts.items():
        text = with_count(text, lab.spec.name, name, count)
    before = {host.name: host for host in lab.hosts}
    after = names_of(lab, text)
    leaving = tuple(name for name in before if name not in after)
    for name in leaving:
        staying = {
            group: stack.name for stack in STACKS.values() for group in stack.groups if group not in stack.leaves
        }
        if wrong := sorted(set(before[name].groups) & staying.keys()):
            raise InputError(
                f"host {name} cannot leave: {staying[wrong[0]]} does not know how to let a host of {wrong[0]} go",
                hint="labctl down removes the whole lab",
            )
    return Scaling(text, leaving, tuple(name for name in after if name not in before))


def with_count(text: str, file: str, name: str, count: int) -> str:
    """A lab file's text with another count of hosts of a name; all else stays as it is, comments too."""
    import yaml

    def value(node: Any, key: str) -> Any:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        return next((below for above, below in pairs if above.value == key), None)

    hosts = value(yaml.compose(text, Loader=yaml.SafeLoader), "hosts")
    host = value(hosts, name)
    if host is None:
        known = [key.value for key, _ in hosts.value] if hosts is not None else []
        raise InputError(f"{file}: hosts has no {name}", hint=f"it has {', '.join(known)}")
    found = value(host, "count")
    if found is None:
        raise InputError(
            f"{file}: hosts.{name} has no count, and its one host is called {name}",
            hint="counted hosts have numbers in their names: for a lab that can be scaled, write count from the start",
        )
    return text[: found.start_mark.index] + str(count) + text[found.end_mark.index :]


def names_of(lab: Lab, text: str) -> list[str]:
    """The hosts of a lab file of this text. InputError where it is not valid."""
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / lab.spec.name
        draft.write_text(text, encoding="utf-8")
        return [host.name for host in load_lab(draft).hosts]


def scale(lab: Lab, change: Scaling, tell: Listener, run: Run, *, verbosity: int = 0) -> list[str]:
    """Let hosts go, and write the lab file; what was removed, in words. `up` does the rest.

    The lock is the caller's to hold.
    """
    removed: list[str] = []
    if change.leaving:
        for stack in reversed(lab.stacks):
            groups = set(STACKS[stack].leaves)
            hosts = tuple(host.name for host in lab.hosts if host.name in change.leaving and groups & set(host.groups))
            if hosts:
                tell(Event("phase", stack, f"taking {', '.join(hosts)} out of {stack}"))
                outcome = converge.play(lab, f"{stack}_leave", tell, run, limit=hosts, verbosity=verbosity)
                converge.raise_failed(lab, stack, outcome)
    _write(lab.spec, change.text)
    if change.leaving:
        removed = backend.provider_for(lab).remove(
            change.leaving, lambda host, step: tell(Event("host", host or "lab", step))
        )
    return removed


def _write(path: Path, text: str) -> None:
    """Replace the lab file whole or not at all, with the mode it has."""
    descriptor, draft = tempfile.mkstemp(prefix=".", suffix=path.name, dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(draft).chmod(path.stat().st_mode & 0o777)
        chown_to_caller(Path(draft))
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
