# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: single files that a project releases as they are, such as one static binary."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ...errors import PreflightError
from ..digests import UNPINNED
from ..tree import Entry, plain_path, sha256_file
from .archive import ARCHES, MAX_BYTES, check_file, release
from .base import Job, Source, Where

_MORE = frozenset({"path", "executable", "size"})


@dataclass(frozen=True)
class File:
    """One file: where it is had, what it must be, and where in the tree it lies; ``size`` is -1 where not known."""

    urls: tuple[str, ...]
    digest: str
    path: str
    executable: bool
    size: int = -1

    @property
    def mode(self) -> int:
        """0o555 for a program, else 0o444."""
        return 0o555 if self.executable else 0o444


@dataclass(frozen=True)
class FilesSource(Source):
    """Files for one machine architecture; none where there are none for it."""

    name: ClassVar[str] = "files"

    files: tuple[File, ...]

    @classmethod
    def parse(cls, fields: Any, where: Where) -> FilesSource:
        """``{arch: [{urls, digest, path, executable, size}]}``; the last two may be left out."""
        fields = where.keys(fields, "files", optional=ARCHES)
        for arch, items in fields.items():
            if not isinstance(items, list) or not items:
                raise where.error(f"files.{arch} must be a list of at least one file")
            for number, item in enumerate(items):
                label = f"files.{arch}[{number}]"
                check_file(item, label, where, _MORE)
                where.string(item.get("path"), f"{label}.path")
                if not isinstance(item.get("executable", False), bool):
                    raise where.error(f"{label}.executable must be true or false")
                where.count(item.get("size", 1), f"{label}.size")
        files = tuple(
            File(
                urls=tuple(item["urls"]),
                digest=item["digest"],
                path=plain_path(item["path"]),
                executable=item.get("executable", False),
                size=item.get("size", -1),
            )
            for item in fields.get(where.arch, fields.get("any", []))
        )
        if len({file.path for file in files}) < len(files):
            raise where.error("files: two files have the same path")
        return cls(where, files)

    @property
    def key(self) -> str:
        """Every file's digest, path and mode."""
        parts = [(file.urls if file.digest == UNPINNED else file.digest, file.path, file.mode) for file in self.files]
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def entries(self) -> list[Entry] | None:
        """The files, where the catalogue gives sha256 and size of each."""
        if not self.files or any(not file.digest.startswith("sha256:") or file.size < 0 for file in self.files):
            return None
        return sorted(Entry(file.path, file.mode, file.size, file.digest.partition(":")[2]) for file in self.files)

    def fetch(self, job: Job) -> list[Entry]:
        """Download the files that are missing; those that arrived stay, also when a later one does not."""
        if not self.files:
            raise PreflightError(f"there is no file for {self.where.arch}")
        known = {entry.path: entry for entry in self.entries() or ()}
        missing = {entry.path for entry in job.missing}
        entries = []
        for file in self.files:
            if file.path in known and file.path not in missing:
                entries.append(known[file.path])
                continue
            path = job.download(file.urls, file.digest, max(file.size, 0) or MAX_BYTES)
            sha256, size = sha256_file(path), path.stat().st_size
            job.blobs.add(path, sha256)
            entries.append(Entry(file.path, file.mode, size, sha256))
        return sorted(entries)

    def inputs(self) -> list[Mapping[str, str]]:
        """Every file."""
        return [release(self.where, file.urls[0], file.digest) for file in self.files]
