# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: release archives of a project itself, from which the catalogue selects files."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ...errors import PreflightError
from ..blobs import Blobs
from ..digests import UNPINNED, is_digest
from ..tree import Entry, plain_path
from ..unpack import members
from .base import Job, Source, Where

ARCHES = frozenset({"any", "x86_64", "aarch64"})


@dataclass(frozen=True)
class ArchiveSource(Source):
    """An archive for one machine architecture; no ``urls`` where there is none for it."""

    name: ClassVar[str] = "archive"

    urls: tuple[str, ...]
    digest: str  # sha256:<hex>, sha512:<hex> or "unpinned"
    max_bytes: int
    select: tuple[tuple[str, str], ...]  # (pattern on the member's path, folder it goes to; "" drops it), first match

    @classmethod
    def parse(cls, fields: Any, where: Where) -> ArchiveSource:
        """``files: {arch: {urls, digest}}``, ``select: [{from, to}]``, ``max_bytes``."""
        fields = where.keys(fields, "archive", required={"files", "select"}, optional={"max_bytes"})
        urls, digest = location(fields["files"], "archive.files", where)
        if not isinstance(fields["select"], list):
            raise where.error("archive.select must be a list")
        rules = [where.keys(rule, "archive.select", required={"from", "to"}) for rule in fields["select"]]
        return cls(
            where=where,
            urls=urls,
            digest=digest,
            max_bytes=int(fields.get("max_bytes", 4 << 30)),
            select=tuple((str(rule["from"]), str(rule["to"])) for rule in rules),
        )

    @property
    def key(self) -> str:
        """The archive's digest and the selection from it."""
        origin = self.urls if self.digest == UNPINNED else self.digest
        return hashlib.sha256(repr((origin, self.select)).encode()).hexdigest()

    def path_of(self, member: str) -> str:
        """Where an archive's member lies in the tree; "" for one that is not taken."""
        for pattern, folder in self.select:
            if match := _glob(pattern).fullmatch(member):
                below = match.groupdict().get("below") or member.rsplit("/", 1)[-1]
                return plain_path(f"{folder}/{below}") if folder else ""
        return ""

    def fetch(self, job: Job) -> list[Entry]:
        """Download, verify, and take the selected members in."""
        if not self.urls:
            raise PreflightError(f"there is no archive for {self.where.arch}")
        archive = job.download(self.urls, self.digest, self.max_bytes)
        entries = self._unpack(archive, job)
        archive.unlink()
        return entries

    def inputs(self) -> list[Mapping[str, str]]:
        """The archive."""
        if not self.urls:
            return []
        where = self.where
        purl = f"pkg:generic/{where.name}@{where.version}"
        return [
            {"name": where.name, "version": where.version, "licence": where.licence, "purl": purl,
             "digest": self.digest, "url": self.urls[0]}
        ]  # fmt: skip

    def _unpack(self, archive: Path, job: Job) -> list[Entry]:
        name = self.urls[0].rsplit("/", 1)[-1]
        job.progress(f"unpacking {name}", 0, 0)
        content, links = self._contents(archive, name, job.blobs)
        for path in [path for path in links if self.path_of(path)]:
            # Links become what they point to: a tree has none.
            target, steps = path, 0
            while target in links and steps < 32:
                target, steps = links[target], steps + 1
            if target not in content:
                raise PreflightError(f"{name}: link {path!r} points to {target!r}, which is not taken from the archive")
            content[path] = content[target]
        entries: dict[str, Entry] = {}
        for path, (sha256, size, executable) in content.items():
            entry = Entry(self.path_of(path), 0o555 if executable else 0o444, size, sha256)
            if entries.setdefault(entry.path, entry).sha256 != sha256:
                raise PreflightError(f"{name}: two different files for {entry.path}")
            entries[entry.path] = min(entry, entries[entry.path])
        if not entries:
            raise PreflightError(f"{name}: the catalogue's selection finds nothing in it")
        return sorted(entries.values())

    def _contents(
        self, archive: Path, name: str, blobs: Blobs
    ) -> tuple[dict[str, tuple[str, int, bool]], dict[str, str]]:
        """Selected files, as path to sha256, size and whether it is a program; and all links with their targets."""
        content: dict[str, tuple[str, int, bool]] = {}
        links: dict[str, str] = {}
        with archive.open("rb") as stream:
            for member in members(stream, name):
                if member.stream is None:
                    links[member.path] = member.target
                elif self.path_of(member.path):
                    content[member.path] = (*blobs.add_stream(member.stream), member.executable)
        return content, links


def location(files: Any, label: str, where: Where) -> tuple[tuple[str, ...], str]:
    """URLs and digest for the architecture, from ``{arch: {urls, digest}}``; none where there is nothing for it."""
    files = where.keys(files, label, optional=ARCHES)
    for arch, item in files.items():
        check_file(where.keys(item, f"{label}.{arch}", required={"urls", "digest"}), f"{label}.{arch}", where)
    chosen = files.get(where.arch, files.get("any"))
    return (tuple(chosen["urls"]), chosen["digest"]) if chosen else ((), UNPINNED)


def check_file(item: Mapping[str, Any], label: str, where: Where) -> None:
    """InputError where ``urls`` are not https URLs, or ``digest`` is none."""
    if not is_digest(item["digest"]):
        raise where.error(f"{label}: digest must be sha256:<hex>, sha512:<hex> or {UNPINNED}, not {item['digest']!r}")
    if bad := [url for url in where.strings(item["urls"], f"{label}.urls") if not url.startswith("https://")]:
        raise where.error(f"{label}: not an https URL: {bad[0]}")


@functools.cache
def _glob(pattern: str) -> re.Pattern[str]:
    """``*`` is anything within one folder (fnmatch's would cross folders), ``**`` at the end everything below."""
    head, deep = (pattern[:-2], "(?P<below>.+)") if pattern.endswith("**") else (pattern, "")
    return re.compile("[^/]*".join(re.escape(part) for part in head.split("*")) + deep)
