# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: a site's own copies, which are asked before any server outside.

``LABCTL_MIRRORS`` lists folders and https URLs, separated by commas. A mirror has files by their sha256, at
``blobs/sha256/<aa>/<hex>`` as a store does, so that a copied or served store is one; and release files by their name.
Nothing it gives is taken before it was verified against what the catalogue pins.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..errors import Finding, InputError, PreflightError
from .blobs import Blobs
from .download import Rules, download
from .tree import CHUNK, Entry

MIRRORS = "LABCTL_MIRRORS"
#: So many small files at a time from one server.
AT_ONCE = 8

Bytes = Callable[[int, int], None]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Mirror(ABC):
    """Where copies are; ``place`` as the user wrote it."""

    place: str

    @abstractmethod
    def get(self, name: str, path: Path, digest: str, max_bytes: int, rules: Rules, progress: Bytes | None) -> None:
        """Bring the file ``name`` (relative, with ``/``) to ``path``. PreflightError: not there, or not right."""


class Server(Mirror):
    """An https URL, below which the files are."""

    def get(self, name: str, path: Path, digest: str, max_bytes: int, rules: Rules, progress: Bytes | None) -> None:
        """Download it."""
        url = f"{self.place.rstrip('/')}/{name}"
        download(url, path, digest, max_bytes=max_bytes, rules=rules, progress=progress)


class Folder(Mirror):
    """A folder, such as another machine's store on a disk."""

    def get(self, name: str, path: Path, digest: str, max_bytes: int, rules: Rules, progress: Bytes | None) -> None:
        """Copy it."""
        origin = Path(self.place) / name
        algorithm, _, expected = digest.partition(":")
        hashed, done = hashlib.new(algorithm), 0
        try:
            source = origin.open("rb")
        except OSError as exc:
            raise PreflightError(f"{origin}: {exc.strerror}") from exc
        with source, path.open("xb") as target:
            total = os.fstat(source.fileno()).st_size
            if total > max_bytes:
                raise PreflightError(f"{origin}: {total} bytes, at most {max_bytes} were expected")
            for block in iter(lambda: source.read(CHUNK), b""):
                hashed.update(block)
                done += target.write(block)
                if progress:
                    progress(done, total)
        if hashed.hexdigest() != expected:
            path.unlink()
            raise PreflightError(f"{origin}: wrong digest, {algorithm}:{hashed.hexdigest()} instead of {digest}")


def mirrors() -> tuple[Mirror, ...]:
    """The site's mirrors, in order. InputError for one that cannot be any."""
    places = [word.strip() for word in os.environ.get(MIRRORS, "").split(",")]
    return tuple(_mirror(place) for place in places if place)


def _mirror(place: str) -> Mirror:
    if place.startswith("https://"):
        return Server(place)
    if "://" not in place and Path(place).is_absolute():
        return Folder(place)
    raise InputError(f"{MIRRORS}: not an https URL or an absolute path: {place}")


def bring(missing: list[Entry], mirror: Mirror, blobs: Blobs, rules: Rules, progress: Progress) -> Finding | None:
    """Take the files that a mirror has of those missing into the store; what is wrong where it lacks some."""
    total, lock, arrived = sum(entry.size for entry in missing), threading.Lock(), [0]
    step = f"{len(missing)} files from {mirror.place}"

    def attempt(entry: Entry) -> str:
        draft = blobs.work / f"mirrored-{secrets.token_hex(8)}"
        try:
            name = f"blobs/sha256/{entry.sha256[:2]}/{entry.sha256}"
            mirror.get(name, draft, f"sha256:{entry.sha256}", entry.size, rules, None)
        except PreflightError as exc:
            draft.unlink(missing_ok=True)
            return f"{entry.path}: {exc}"
        blobs.add(draft, entry.sha256)
        with lock:
            arrived[0] += entry.size
            progress(step, arrived[0], total)
        return ""

    with ThreadPoolExecutor(AT_ONCE if isinstance(mirror, Server) else 1) as pool:
        problems = [problem for problem in pool.map(attempt, missing) if problem]
    if not problems:
        return None
    return Finding(f"mirror {mirror.place}", f"lacks {len(problems)} of {len(missing)} files, such as {problems[0]}")
