# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: limits of the machine's kernel that all hosts share, as their root is the machine's.

Each host's systemd takes several inotify instances, and so does each kubelet and pod; Linux gives a user 128. Without
them hosts do not boot and pods do not start, with errors that name something else. Source: inotify(7).
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from ...errors import ProviderError
from .state import write_text

PROC = Path("/proc/sys")
#: What is raised, and to what: the values that other runners of many containers on one machine ask for.
WANTED = {"fs/inotify/max_user_instances": 8192, "fs/inotify/max_user_watches": 524288}


def _values() -> dict[str, int]:
    return {name: int((PROC / name).read_text(encoding="ascii")) for name in WANTED}


def low() -> bool:
    """Whether a limit is lower than hosts need."""
    return any(value < WANTED[name] for name, value in _values().items())


def ensure(marker: Path, boot: str) -> bool:
    """Raise what is too low, noting what it was in this boot; whether anything was."""
    before = {name: value for name, value in _values().items() if value < WANTED[name]}
    if not before:
        return False
    write_text(marker, json.dumps({"boot": boot, "before": {**_noted(marker, boot), **before}}) + "\n", 0o644)
    for name in before:
        try:
            (PROC / name).write_text(str(WANTED[name]), encoding="ascii")
        except OSError as exc:
            raise ProviderError(
                f"{name.replace('/', '.')} is {before[name]} and cannot be raised: {exc.strerror}",
                hint=f"sysctl -w {name.replace('/', '.')}={WANTED[name]}",
            ) from exc
    return True


def restore(marker: Path, boot: str) -> bool:
    """Put back what we raised since this boot and nobody has changed since; whether there was any."""
    now = _values()
    ours = {name: before for name, before in _noted(marker, boot).items() if now.get(name) == WANTED[name]}
    for name, before in ours.items():
        (PROC / name).write_text(str(before), encoding="ascii")
    marker.unlink(missing_ok=True)
    return bool(ours)


def _noted(marker: Path, boot: str) -> dict[str, int]:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        noted = json.loads(marker.read_text(encoding="utf-8"))
        if noted["boot"] == boot:
            return {name: int(value) for name, value in noted["before"].items() if name in WANTED}
    return {}
