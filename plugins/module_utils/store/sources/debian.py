# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: a minimal Debian with some packages and all they depend on, as a set of files.

The tree is a flat repository: every package, the index ``Packages``, and below ``apt/`` the lists of sources that a
system made of it has. Once locked, it is those very files or an error, never newer ones.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ...errors import Finding, PreflightError
from ..apt import Apt, Planned
from ..debs import ARCHES, INDEX, index, parsed
from ..tree import Entry, sha256_file, tree_digest
from .base import Job, Source, Where

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")


@dataclass(frozen=True)
class DebianSource(Source):
    """``packages`` of ``suite``; ``locked`` are the files it has to be, none where any will do."""

    name: ClassVar[str] = "debian"

    suite: str
    packages: tuple[str, ...]
    locked: tuple[Entry, ...] = ()

    @classmethod
    def parse(cls, fields: Any, where: Where) -> DebianSource:
        """``suite`` and ``packages``."""
        fields = where.keys(fields, "debian", required={"suite", "packages"})
        packages = where.strings(fields["packages"], "debian.packages")
        suite = where.string(fields["suite"], "debian.suite")
        for word in (suite, *packages):
            if not _PACKAGE.fullmatch(word):
                raise where.error(f"debian: {word!r} is not a name of Debian's")
        return cls(where=where, suite=suite, packages=packages)

    @property
    def key(self) -> str:
        """The locked files; what was asked for, where nothing is locked."""
        if self.locked:
            return tree_digest(self.locked)
        content = {"kind": "debian", "suite": self.suite, "arch": self.where.arch, "packages": sorted(self.packages)}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def entries(self) -> list[Entry] | None:
        """The locked files, if it is locked."""
        return sorted(self.locked) or None

    def fetch(self, job: Job) -> list[Entry]:
        """Resolve, or ask for the locked versions; fetch what the store lacks; write the index over all of it."""
        if self.where.arch not in ARCHES:
            raise PreflightError(
                f"Debian packages for {self.where.arch} are not known", hint=f"{', '.join(ARCHES)} are"
            )
        wanted = [entry for entry in self.locked if parsed(entry.path)]
        lacking = [entry for entry in wanted if not job.blobs.has(entry)]
        texts: dict[str, str] = {}
        if not self.locked or lacking or any(entry.path.startswith("apt/") for entry in job.missing):
            apt = Apt(self.suite, ARCHES[self.where.arch], job.work / "apt", job.progress)
            apt.prepare()
            texts = {f"apt/{name}": text for name, text in apt.sources().items()}
            if not self.locked:
                plan = apt.plan(self.packages)
                wanted = [Entry(item.filename, 0o444, item.size, item.sha256) for item in plan]
                lacking = [entry for entry in wanted if not job.blobs.has(entry)]
            if lacking:
                self._bring(apt, lacking, job)
        job.progress("writing the package index", 0, 0)
        texts[INDEX] = index((entry, job.blobs.path(entry.sha256)) for entry in wanted)[0]
        written = {path: job.blobs.add_stream(io.BytesIO(text.encode())) for path, text in texts.items()}
        own = {path: Entry(path, 0o444, size, sha256) for path, (sha256, size) in written.items()}
        # Lists of sources that are there already stay; the store says so if these differ from the locked ones.
        kept = {entry.path: entry for entry in self.locked if not parsed(entry.path) and entry not in job.missing}
        return sorted([*wanted, *(own | kept).values()])

    def inputs(self) -> list[Mapping[str, str]]:
        """Every package that is locked."""
        return parts(self.locked)

    def _bring(self, apt: Apt, lacking: list[Entry], job: Job) -> None:
        """Fetch packages into the store. PreflightError names each that the archive lacks or has other bytes of."""
        debs = {entry.path: deb for entry in lacking if (deb := parsed(entry.path))}
        offered = {item.filename: item for item in apt.exactly(debs.values())} if self.locked else {}
        changed = [
            Finding(entry.path, f"the archive has sha256 {item.sha256} instead of {entry.sha256}")
            for entry in lacking
            if (item := offered.get(entry.path)) and item.sha256 != entry.sha256
        ]
        folder = Path() if changed else apt.download([Planned(e.path, e.size, e.sha256, debs[e.path]) for e in lacking])
        for entry in [] if changed else lacking:
            path = folder / entry.path
            found = sha256_file(path) if path.is_file() else ""
            if found == entry.sha256:
                job.blobs.add(path, found)
            else:
                changed.append(Finding(entry.path, f"has sha256 {found}" if found else "did not come"))
        if changed:
            raise PreflightError(
                "Debian packages are not those that were locked: " + "; ".join(str(finding) for finding in changed[:5]),
                hint="Take them from a mirror or a bundle that has them, or move the lab on: labctl lock --upgrade.",
                findings=tuple(changed),
            )


def parts(entries: tuple[Entry, ...] | list[Entry]) -> list[Mapping[str, str]]:
    """The packages among a set's files, as :meth:`Source.inputs` lists them. Their licences lie in the packages."""
    found = ((entry, deb) for entry in entries if (deb := parsed(entry.path)))
    return [
        {"name": deb.name, "version": deb.version, "licence": "", "purl": deb.purl, "digest": f"sha256:{entry.sha256}"}
        for entry, deb in found
    ]
