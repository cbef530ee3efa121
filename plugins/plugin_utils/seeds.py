# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: which hosts got a tree from the controller in this run and hand it on to the others.

Kept in the folder that Ansible has for this run alone, so that nothing of it is left: a file for each seed, locked
while the controller sends to it, and then with its address. A worker that dies leaves its place to the next.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Hosts that the controller sends a tree to, so that its link carries at most twice the tree's size.
SEEDS = 2
#: From so many hosts on it is worth it.
MANY = 5


class Place:
    """A seed's place, while it is being made one."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fill(self, url: str) -> None:
        """The host shares it, there."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps({"url": url}).encode(), 0)


class Seeds:
    """The seeds of one tree in one run."""

    def __init__(self, folder: Path, digest: str) -> None:
        self.folder = folder / f"seeds-{digest[:32]}"
        self.folder.mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def place(self) -> Iterator[Place | None]:
        """A place among the seeds, if one is free; it stays free unless it is filled."""
        for number in range(SEEDS):
            descriptor = os.open(self.folder / str(number), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                with suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if not os.fstat(descriptor).st_size:
                        yield Place(descriptor)
                        return
            finally:
                os.close(descriptor)
        yield None

    def ready(self) -> list[str]:
        """Where seeds share the tree."""
        found = []
        for number in range(SEEDS):
            with suppress(OSError, ValueError):
                found.append(str(json.loads((self.folder / str(number)).read_bytes())["url"]))
        return found

    @property
    def coming(self) -> bool:
        """Whether there will be more seeds, or places, than there are now."""
        return len(self.ready()) < SEEDS
