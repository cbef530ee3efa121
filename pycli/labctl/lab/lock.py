# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One command at a time may work on a lab: a file lock, with its holder named in the file.

The kernel drops the lock with its process, so that a lock left by a killed command holds nobody up, whatever
pid stands in the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ansible_collections.labctl.stacks.plugins.module_utils.errors import LockedError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.paths import chown_to_caller, make_dir

#: `labctl status` holds the lock for an instant to see whether somebody else does.
_TRIES, _PAUSE = 10, 0.05


@dataclass(frozen=True)
class Holder:
    """Who works on a lab. ``started`` is local time, as 2026-11-22 17:20:05."""

    pid: int
    host: str
    command: str
    started: str

    def __str__(self) -> str:
        return f"{self.command} (pid {self.pid} on {self.host}, since {self.started})"


@contextlib.contextmanager
def locked(lab_dir: Path, command: str) -> Iterator[None]:
    """Hold the lab's lock; LockedError naming the holder where another command has it."""
    make_dir(lab_dir)
    descriptor = _acquire(lab_dir / "lock")
    try:
        holder = Holder(os.getpid(), socket.gethostname(), command, time.strftime("%Y-%m-%d %H:%M:%S"))
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(holder)).encode() + b"\n", 0)
        yield
    finally:
        os.ftruncate(descriptor, 0)
        os.close(descriptor)


def _acquire(path: Path) -> int:
    for left in reversed(range(_TRIES)):
        descriptor = _open(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read(descriptor)
            os.close(descriptor)
            if left:
                time.sleep(_PAUSE)
                continue
            who = str(holder) if holder else "another command"
            raise LockedError(
                f"the lab is locked by {who}",
                hint="wait until it has ended" + (f", or stop it: kill -INT {holder.pid}" if holder else ""),
            ) from None
        # `labctl down` removes the file while it holds it: then this lock is on a file that nobody else sees.
        if _same(descriptor, path):
            return descriptor
        os.close(descriptor)
    raise LockedError(f"{path} changes too often to lock it")


def _open(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as exc:
        raise PreflightError(f"{path} cannot be opened: {exc.strerror}", hint="does the lab belong to you?") from exc
    chown_to_caller(path)
    return descriptor


def _same(descriptor: int, path: Path) -> bool:
    try:
        seen = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(descriptor)
    return (mine.st_dev, mine.st_ino) == (seen.st_dev, seen.st_ino)


def _read(descriptor: int) -> Holder | None:
    try:
        data = json.loads(os.pread(descriptor, 4096, 0))
        return Holder(int(data["pid"]), str(data["host"]), str(data["command"]), str(data["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def holder_of(lab_dir: Path) -> Holder | None:
    """Who works on the lab now, or None."""
    try:
        descriptor = os.open(lab_dir / "lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor) or Holder(0, "", "another command", "")
    finally:
        os.close(descriptor)
    return None
