# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: what a tree of files is, and the digests that stand for it. Also runs on hosts.

A tree holds regular files in folders and nothing else: no links, no devices, no empty folders. Files are 0444 or
0555, so that a tree means the same wherever it is laid out.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..errors import PreflightError

CHUNK = 1 << 20


class Entry(NamedTuple):
    """One file of a tree: relative path with ``/``, mode (0o444 or 0o555), bytes, sha256 in hex."""

    path: str
    mode: int
    size: int
    sha256: str


def plain_path(name: str) -> str:
    """The relative path that an archive member or a catalogue line names, normalised.

    Raises PreflightError for what could leave the tree or confuse a reader: absolute, ``..``, empty, with
    control characters.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or not parts or any(ord(char) < 32 or ord(char) == 127 for char in name):
        raise PreflightError(f"unsafe path in an artefact: {name!r}", hint="Do not use this file; report it upstream.")
    return "/".join(parts)


def sha256_file(path: Path) -> str:
    """The sha256 of a file's bytes, in hex. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(CHUNK), b""):
            digest.update(block)
    return digest.hexdigest()


def tree_digest(entries: Iterable[Entry]) -> str:
    """sha256 over the sorted lines ``<sha256>  <mode, octal>  <path>``: content, names and modes, nothing else."""
    lines = sorted(f"{entry.sha256}  {entry.mode:04o}  {entry.path}\n" for entry in entries)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def listing_digest(sizes: dict[str, int]) -> str:
    """sha256 over the sorted lines ``<size>  <path>``: what can be checked in milliseconds, without reading a file."""
    lines = sorted(f"{size}  {path}\n" for path, size in sizes.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def files_in(root: Path) -> list[str]:
    """Relative paths of all that is not a folder below ``root``, sorted; links are listed and not followed."""
    found: list[str] = []
    for folder, folders, names in os.walk(root):
        folders.sort()
        paths = [Path(folder, name) for name in names]
        paths.extend(path for path in (Path(folder, name) for name in folders) if path.is_symlink())
        found.extend(path.relative_to(root).as_posix() for path in paths)
    return sorted(found)


def sizes_in(root: Path) -> dict[str, int]:
    """Path to size of every file below ``root``. What is not a regular file counts as size -1, so it never matches."""
    sizes = {}
    for name in files_in(root):
        path = root / name
        sizes[name] = path.lstat().st_size if path.is_file() and not path.is_symlink() else -1
    return sizes


def read_tree(root: Path) -> list[Entry]:
    """Every file below ``root``, hashed: slow and certain. Raises OSError, and PreflightError for a non-file."""
    entries = []
    for name in files_in(root):
        path = root / name
        status = path.lstat()
        if path.is_symlink() or not path.is_file():
            raise PreflightError(f"not a regular file in {root}: {name}")
        entries.append(Entry(name, status.st_mode & 0o777, status.st_size, sha256_file(path)))
    return entries
