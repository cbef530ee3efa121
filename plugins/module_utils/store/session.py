# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: working on one artefact in the store while nobody else does."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..errors import LabError, PreflightError
from ..paths import chown_to_caller, make_dir
from .blobs import Blobs
from .disk import Hashes, make_folder
from .sources.base import Progress

PRIVATE = ("verified", "locks", "tmp", "partial", "records", "packs")

_HINTS = {
    errno.ENOSPC: "Free some space there, or put the cache elsewhere with LABCTL_CACHE_DIR.",
    errno.EDQUOT: "Free some of your quota, or put the cache elsewhere with LABCTL_CACHE_DIR.",
    errno.EXDEV: "The whole store must lie on one file system.",
}


@contextlib.contextmanager
def session(root: Path, name: str, progress: Progress) -> Iterator[Blobs]:
    """The store's folders, the artefact's lock, an empty work folder, and what was verified before."""
    try:
        make_dir(root.parent)
        for folder in (root, root / "blobs", root / "blobs" / "sha256", root / "trees"):
            make_folder(folder)
        for private in PRIVATE:
            make_folder(root / private, 0o700)
        with _locked(root, name, progress):
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
def _locked(root: Path, name: str, progress: Progress) -> Iterator[None]:
    path = root / "locks" / f"{name}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        chown_to_caller(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"waiting for another run that fetches {name}", 0, 0)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _unusable(root: Path, exc: OSError) -> LabError:
    hint = _HINTS.get(exc.errno or 0, "Make it yours and writable, or put the cache elsewhere with LABCTL_CACHE_DIR.")
    return PreflightError(f"the store {root} cannot be used: {exc.strerror or exc} ({exc.filename or root})", hint=hint)
