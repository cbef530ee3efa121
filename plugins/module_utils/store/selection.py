# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: which files of an archive make an artefact, and where in its tree they lie."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import PreflightError
from .blobs import Blobs
from .tree import Entry, plain_path
from .unzip import archive_members

if TYPE_CHECKING:
    from .sources.base import Where


@dataclass(frozen=True)
class Selection:
    """Rules as (pattern on a member's path, folder it goes to; "" drops it); the first that matches counts."""

    rules: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, item: Any, label: str, where: Where) -> Selection:
        """``[{from: pattern, to: folder}]``; ``to: .`` is the top of the tree."""
        if not isinstance(item, list) or not item:
            raise where.error(f"{label} must be a list of at least one rule")
        rules = [where.keys(rule, label, required={"from", "to"}) for rule in item]
        for rule in rules:
            if not isinstance(rule["from"], str) or not isinstance(rule["to"], str):
                raise where.error(f"{label}: from and to must be strings")
        return cls(tuple((rule["from"], rule["to"]) for rule in rules))

    def path_of(self, member: str) -> str:
        """Where an archive's member lies in the tree; "" for one that is not taken."""
        for pattern, folder in self.rules:
            if match := _glob(pattern).fullmatch(member):
                below = match.groupdict().get("below") or member.rsplit("/", 1)[-1]
                return plain_path(f"{folder}/{below}") if folder else ""
        return ""

    def take(self, archive: Path, name: str, blobs: Blobs) -> list[Entry]:
        """Take the selected files into the store; what they are. ``name`` is the archive's, for messages.

        PreflightError for an archive that is not safe or not whole, for a selected link to what is not selected, and
        where nothing is.
        """
        content, links = self._contents(archive, name, blobs)
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
            for member in archive_members(stream, name):
                if member.stream is None:
                    links[member.path] = member.target
                elif self.path_of(member.path):
                    content[member.path] = (*blobs.add_stream(member.stream), member.executable)
        return content, links


@functools.cache
def _glob(pattern: str) -> re.Pattern[str]:
    """``*`` is anything within one folder (fnmatch's would cross folders), ``**`` at the end everything below."""
    head, deep = (pattern[:-2], "(?P<below>.+)") if pattern.endswith("**") else (pattern, "")
    return re.compile("[^/]*".join(re.escape(part) for part in head.split("*")) + deep)
