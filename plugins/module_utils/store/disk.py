# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: files and folders of the store, the calling user's also under sudo; and known digests."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from pathlib import Path

from ..paths import chown_to_caller
from .tree import sha256_file

#: A file that changed less than this many nanoseconds ago may change again without its times moving.
SETTLED = 2_000_000_000


def make_folder(path: Path, mode: int = 0o755) -> Path:
    """Make a folder of the store, with this mode whatever the umask; an existing one is left as it is."""
    with contextlib.suppress(FileExistsError):
        path.mkdir()
        path.chmod(mode)
        chown_to_caller(path)
    return path


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a small file whole or not at all."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
        os.fchmod(descriptor, mode)
    chown_to_caller(draft)
    draft.replace(path)


class Hashes:
    """sha256 of files that were hashed before and have not moved since: inode, size, mtime and ctime all the same.

    ctime cannot be set by whoever edits a file, so an edit is seen even where size and mtime were put back. A file
    touched within the last two seconds is never remembered: a second write could leave its times as they are.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, list[object]] = {}
        with contextlib.suppress(OSError, ValueError):
            loaded = json.loads(path.read_text())
            self._known = loaded if isinstance(loaded, dict) else {}
        self._used: dict[str, list[object]] = {}

    def known(self, path: Path) -> str:
        """A file's sha256 as far as it is remembered and the file has not moved; else empty."""
        status = path.lstat()
        known = self._known.get(f"{status.st_dev}:{status.st_ino}")
        stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        return str(known[3]) if isinstance(known, list) and len(known) == 4 and known[:3] == stamp else ""

    def sha256(self, path: Path) -> str:
        """A file's sha256, read from disk unless it is known and unmoved. Raises OSError."""
        before = path.lstat()
        key = f"{before.st_dev}:{before.st_ino}"
        stamp = [before.st_size, before.st_mtime_ns, before.st_ctime_ns]
        known = self._used.get(key) or self._known.get(key)
        if isinstance(known, list) and known[:3] == stamp and len(known) == 4:
            self._used[key] = known
            return str(known[3])
        now = time.time_ns()
        digest = sha256_file(path)
        if before.st_ctime_ns < now - SETTLED:
            self._used[key] = [*stamp, digest]
        return digest

    def save(self) -> None:
        """Keep what this run looked at beside what earlier ones did."""
        if any(self._known.get(key) != value for key, value in self._used.items()):
            write_atomically(self.path, json.dumps({**self._known, **self._used}))
