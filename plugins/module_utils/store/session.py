# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: working on one artefact in the store while nobody else does."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import LabError, PreflightError
from ..paths import chown_to_caller, make_dir
from .blobs import Blobs
from .disk import Hashes, make_folder
from .sources.base import Progress

#: Shared by all who work on an artefact, held alone by who removes things.
ALL = "store.lock"
_COLLECTING = "waiting for labctl artifacts gc"
PRIVATE = ("verified", "locks", "tmp", "partial", "records", "packs")

_HINTS = {
    errno.ENOSPC: "Free some space there, or put the cache elsewhere with LABCTL_CACHE_DIR.",
    errno.EDQUOT: "Free some of your quota, or put the cache elsewhere with LABCTL_CACHE_DIR.",
    errno.EXDEV: "The whole store must lie on one file system.",
}


def make_folders(root: Path) -> None:
    """The store's folders, those that are not there yet."""
    make_dir(root.parent)
    for folder in (root, root / "blobs", root / "blobs" / "sha256", root / "trees"):
        make_folder(folder)
    for private in PRIVATE:
        make_folder(root / private, 0o700)


@contextlib.contextmanager
def session(root: Path, name: str, progress: Progress) -> Iterator[Blobs]:
    """The store's folders, the artefact's lock, an empty work folder, and what was verified before."""
    try:
        make_folders(root)
        with (
            _flocked(root / "locks" / ALL, fcntl.LOCK_SH, lambda: progress(_COLLECTING, 0, 0)),
            _locked(root, name, progress),
        ):
            work = root / "tmp" / name
            # Only the lock's holder is here, so whatever lies there was left by a run that died.
            shutil.rmtree(work, ignore_errors=True)
            make_folder(work, 0o700)
            hashes = Hashes(root / "verified" / f"{name}.json")
            try:
                yield Blobs(root, work, hashes)
            finally:
                hashes.save()
                shutil.rmtree(work, ignore_errors=True)
    except OSError as exc:
        raise _unusable(root, exc) from exc


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """The store while nobody works on any artefact: for who removes things. Waits for those who do."""
    try:
        make_folder(root / "locks", 0o700)
        make_folder(root / "tmp", 0o700)
        with _flocked(root / "locks" / ALL, fcntl.LOCK_EX, lambda: None):
            yield
    except OSError as exc:
        raise _unusable(root, exc) from exc


def _locked(root: Path, name: str, progress: Progress) -> contextlib.AbstractContextManager[None]:
    waiting = f"waiting for another run that fetches {name}"
    return _flocked(root / "locks" / f"{name}.lock", fcntl.LOCK_EX, lambda: progress(waiting, 0, 0))


@contextlib.contextmanager
def _flocked(path: Path, kind: int, wait: Callable[[], None]) -> Iterator[None]:
    """A lock of this kind on the file; ``wait`` is called where somebody else has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        chown_to_caller(path)
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            wait()
            fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


def _unusable(root: Path, exc: OSError) -> LabError:
    hint = _HINTS.get(exc.errno or 0, "Make it yours and writable, or put the cache elsewhere with LABCTL_CACHE_DIR.")
    return PreflightError(f"the store {root} cannot be used: {exc.strerror or exc} ({exc.filename or root})", hint=hint)
