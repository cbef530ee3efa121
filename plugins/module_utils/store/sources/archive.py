# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: release archives of a project itself, from which the catalogue selects files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ...errors import PreflightError
from ..digests import UNPINNED, is_digest
from ..selection import Selection
from ..tree import Entry
from .base import Job, Source, Where

ARCHES = frozenset({"any", "x86_64", "aarch64"})


@dataclass(frozen=True)
class ArchiveSource(Source):
    """An archive for one machine architecture; no ``urls`` where there is none for it."""

    name: ClassVar[str] = "archive"

    urls: tuple[str, ...]
    digest: str  # sha256:<hex>, sha512:<hex> or "unpinned"
    max_bytes: int
    select: Selection

    @classmethod
    def parse(cls, fields: Any, where: Where) -> ArchiveSource:
        """``files: {arch: {urls, digest}}``, ``select: [{from, to}]``, ``max_bytes``."""
        fields = where.keys(fields, "archive", required={"files", "select"}, optional={"max_bytes"})
        files = where.keys(fields["files"], "archive.files", optional=ARCHES)
        for arch, item in files.items():
            check_file(item, f"archive.files.{arch}", where)
        chosen = files.get(where.arch, files.get("any"))
        return cls(
            where=where,
            urls=tuple(chosen["urls"]) if chosen else (),
            digest=chosen["digest"] if chosen else UNPINNED,
            max_bytes=where.count(fields.get("max_bytes", MAX_BYTES), "archive.max_bytes"),
            select=Selection.parse(fields["select"], "archive.select", where),
        )

    @property
    def key(self) -> str:
        """The archive's digest and the selection from it."""
        origin = self.urls if self.digest == UNPINNED else self.digest
        return hashlib.sha256(repr((origin, self.select.rules)).encode()).hexdigest()

    def fetch(self, job: Job) -> list[Entry]:
        """Download, verify, and take the selected members in."""
        if not self.urls:
            raise PreflightError(f"there is no archive for {self.where.arch}")
        archive = job.download(self.urls, self.digest, self.max_bytes)
        name = self.urls[0].rsplit("/", 1)[-1]
        job.progress(f"unpacking {name}", 0, 0)
        entries = self.select.take(archive, name, job.blobs)
        archive.unlink()
        return entries

    def inputs(self) -> list[Mapping[str, str]]:
        """The archive."""
        return [release(self.where, self.urls[0], self.digest)] if self.urls else []


#: Above any release of one file; an entry may say more.
MAX_BYTES = 4 << 30


def release(where: Where, url: str, digest: str) -> dict[str, str]:
    """A released file as :meth:`Source.inputs` gives it."""
    return {
        "name": where.name,
        "version": where.version,
        "licence": where.licence,
        "purl": f"pkg:generic/{where.name}@{where.version}",
        "digest": digest,
        "url": url,
    }


def check_file(item: Any, label: str, where: Where, more: frozenset[str] = frozenset()) -> None:
    """InputError unless it has ``urls``, all https, and a ``digest``; ``checksums`` may say where that comes from."""
    where.keys(item, label, required={"urls", "digest"}, optional={"checksums"} | more)
    if not is_digest(item["digest"]):
        raise where.error(f"{label}: digest must be sha256:<hex>, sha512:<hex> or {UNPINNED}, not {item['digest']!r}")
    sums = [where.string(item["checksums"], f"{label}.checksums")] if "checksums" in item else []
    if bad := [url for url in (*where.strings(item["urls"], f"{label}.urls"), *sums) if not url.startswith("https://")]:
        raise where.error(f"{label}: not an https URL: {bad[0]}")
    if not item["urls"]:
        raise where.error(f"{label}: there is no URL")
