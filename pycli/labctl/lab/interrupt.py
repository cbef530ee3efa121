# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ctrl-C and its kin: one exception in the main thread, and nothing of ours left running behind it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """The user, or the system, asked this command to stop. Not an Exception: no handler may take it for a fault."""


def raise_on_signals() -> None:
    """Make the first SIGINT, SIGTERM or SIGHUP raise Interrupted; later ones are ignored while we tidy up."""

    def handler(number: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(signal.Signals(number).name)

    for each in _SIGNALS:
        signal.signal(each, handler)


def descendants() -> list[int]:
    """The processes below ours that share our session.

    What left it did so on purpose: hosts' supervisors, ssh masters. Those outlive a command, interrupted or not.
    """
    children: dict[int, list[int]] = {}
    session: dict[int, int] = {}
    for pid, parent, group in _processes():
        children.setdefault(parent, []).append(pid)
        session[pid] = group
    ours = os.getsid(0)
    found: list[int] = []
    queue = [os.getpid()]
    while queue:
        for child in children.get(queue.pop(), []):
            if session[child] == ours:
                found.append(child)
                queue.append(child)
    return found


def _processes() -> Iterable[tuple[int, int, int]]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The command name in parentheses may hold anything, blanks and parentheses too.
            fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        if fields[0] != b"Z":
            yield int(entry.name), int(fields[1]), int(fields[3])


def stop(find: Callable[[], list[int]], signals: Iterable[tuple[signal.Signals, float]]) -> list[int]:
    """Send each signal to what ``find`` finds, giving it that many seconds to end; the pids still there."""
    left = find()
    for number, patience in signals:
        for pid in left:
            try:
                os.kill(pid, number)
            except (ProcessLookupError, PermissionError):
                continue
        deadline = time.monotonic() + patience
        while (left := find()) and time.monotonic() < deadline:
            time.sleep(0.05)
        if not left:
            break
    return left


def stop_descendants() -> None:
    """End the programs this command started and still waits for: a build of an image, a download."""
    stop(descendants, [(signal.SIGTERM, 5.0), (signal.SIGKILL, 2.0)])
