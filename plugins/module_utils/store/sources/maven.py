# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: jars by their coordinates, through ``mvn``, each checked against a lock."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ...errors import Finding, PreflightError
from .. import maven
from ..digests import UNPINNED, file_digest, is_digest
from ..disk import make_folder
from ..jars import Jar, read_lock
from ..selection import Selection
from ..tree import Entry, plain_path, sha256_file, tree_digest
from .base import Job, Source, Where


@dataclass(frozen=True)
class MavenSource(Source):
    """A set of jars, and small files of our own."""

    name: ClassVar[str] = "maven"

    plugin: str  # group:artifact:version of the maven-dependency-plugin
    lock: Path
    jars: tuple[Jar, ...]
    folders: tuple[tuple[str, str], ...]  # (pattern on group:artifact, folder), first match; else lib
    files: Path | None
    roots: tuple[str, ...] = ()
    single: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @classmethod
    def parse(cls, fields: Any, where: Where) -> Source:
        """``plugin``, ``lock``, ``roots``, and optionally ``folders``, ``files``, ``single``, ``exclude``.

        With ``zip`` in place of a lock and roots it is a :class:`MavenZipSource`.
        """
        if isinstance(fields, dict) and "zip" in fields:
            return MavenZipSource.parse_zip(fields, where)
        fields = where.keys(
            fields,
            "maven",
            required={"plugin", "lock", "roots"},
            optional={"folders", "files", "single", "exclude"},
        )
        beside = where.file.parent
        lock = beside / where.string(fields["lock"], "maven.lock")
        folders = where.mapping(fields.get("folders", {}), "maven.folders")
        return cls(
            where=where,
            plugin=where.string(fields["plugin"], "maven.plugin"),
            lock=lock,
            jars=read_lock(lock),
            folders=tuple((pattern, plain_path(folder)) for pattern, folder in folders.items()),
            files=beside / where.string(fields["files"], "maven.files") if fields.get("files") else None,
            roots=where.strings(fields["roots"], "maven.roots"),
            single=where.strings(fields.get("single", []), "maven.single"),
            exclude=where.strings(fields.get("exclude", []), "maven.exclude"),
        )

    @property
    def key(self) -> str:
        """The digest of the tree, as all of it is known."""
        return tree_digest(self.entries())

    def path_of(self, jar: Jar) -> str:
        """Where a jar lies in the tree."""
        for pattern, folder in self.folders:
            if fnmatch.fnmatchcase(f"{jar.group}:{jar.artifact}", pattern):
                return f"{folder}/{jar.filename}"
        return f"lib/{jar.filename}"

    def entries(self) -> list[Entry]:
        """The whole tree, known without fetching anything."""
        jars = [Entry(self.path_of(jar), 0o444, jar.size, jar.sha256) for jar in self.jars]
        return sorted(jars + [entry for entry, _ in self.own_files()])

    def own_files(self) -> list[tuple[Entry, Path]]:
        """The files the catalogue itself adds, with where they stand."""
        if self.files is None:
            return []
        paths = sorted(path for path in self.files.rglob("*") if path.is_file())
        return [
            (Entry(path.relative_to(self.files).as_posix(), 0o444, path.stat().st_size, sha256_file(path)), path)
            for path in paths
        ]

    def fetch(self, job: Job) -> list[Entry]:
        """Have mvn bring the missing jars.

        Jars that arrived and are right are kept even when others did not, so that the next attempt asks for less.
        PreflightError names each jar that is missing or different, with the digest expected and the one found.
        """
        wanted = {entry.path for entry in job.missing}
        for entry, path in self.own_files():
            if entry.path in wanted:
                with path.open("rb") as stream:
                    job.blobs.add_stream(stream)
        if jars := [jar for jar in self.jars if self.path_of(jar) in wanted]:
            self._bring(jars, job)
        return self.entries()

    def inputs(self) -> list[Mapping[str, str]]:
        """Every jar. Their licences are their own, and not known here."""
        return [
            {
                "name": f"{jar.group}:{jar.artifact}",
                "version": jar.version,
                "licence": "",
                "purl": f"pkg:maven/{jar.group}/{jar.artifact}@{jar.version}"
                + (f"?classifier={jar.classifier}" if jar.classifier else ""),
                "digest": f"sha256:{jar.sha256}",
            }
            for jar in self.jars
        ]

    def _bring(self, jars: list[Jar], job: Job) -> None:
        total = sum(jar.size for jar in jars)
        work = make_folder(job.work / "maven", 0o700)
        failure: PreflightError | None = None
        try:
            copy(jars, self.plugin, work, job, f"{len(jars)} jars by mvn", total)
        except PreflightError as exc:
            failure = exc
        findings = [finding for jar in jars if (finding := _take(jar, work, job))]
        if failure is not None and len(findings) < len(jars):
            names = ", ".join(finding.where for finding in findings[:3]) + (", ..." if len(findings) > 3 else "")
            raise PreflightError(f"{failure}; still missing: {names}", hint=failure.hint) from failure
        if failure is not None:
            raise failure
        findings += [Finding(name, "was not asked for") for name in maven.unexpected(work, jars)]
        if findings:
            raise PreflightError(
                "the jars do not match the lock: " + "; ".join(str(finding) for finding in findings),
                hint=f"Check Maven's mirror; if the release itself changed, see {self.lock.name} and relock.",
            )
        job.progress("jars verified", total, total)


def _take(jar: Jar, work: Path, job: Job) -> Finding | None:
    """Move a jar that mvn brought into the store, or say what is wrong with it."""
    path = maven.jar_in(work, jar)
    if path is None:
        return Finding(jar.coordinate, "is missing")
    found = sha256_file(path)
    if found != jar.sha256:
        return Finding(jar.coordinate, f"has sha256 {found} instead of {jar.sha256}")
    job.blobs.add(path, found)
    return None


def copy(jars: list[Jar], plugin: str, work: Path, job: Job, step: str, total: int) -> None:
    """Have mvn bring files, and what it depends on not. PreflightError."""

    def tell(done: int) -> None:
        job.progress(step, min(done, total) if total else done, total)

    maven.copy_jars(maven.pom(jars, alone=True), plugin, work, layout=False, progress=tell)


@dataclass(frozen=True)
class MavenZipSource(Source):
    """One zip that a project publishes in a Maven repository, from which the catalogue selects files."""

    name: ClassVar[str] = "maven"

    plugin: str
    file: Jar  # sha256 is empty where the digest is another or unpinned
    digest: str
    select: Selection

    @classmethod
    def parse_zip(cls, fields: dict[str, Any], where: Where) -> MavenZipSource:
        """``plugin``, ``zip: group:artifact:version[:classifier]``, ``digest``, ``select``."""
        fields = where.keys(fields, "maven", required={"plugin", "zip", "digest", "select"})
        parts = where.string(fields["zip"], "maven.zip").split(":")
        if len(parts) not in (3, 4) or not all(parts):
            raise where.error("maven.zip must be group:artifact:version[:classifier]")
        if not is_digest(fields["digest"]):
            raise where.error(f"maven.digest must be sha256:<hex>, sha512:<hex> or {UNPINNED}")
        group, artifact, version, classifier = (*parts, "")[:4]
        return cls(
            where=where,
            plugin=where.string(fields["plugin"], "maven.plugin"),
            file=Jar(group, artifact, version, classifier, "", 0, "zip"),
            digest=fields["digest"],
            select=Selection.parse(fields["select"], "maven.select", where),
        )

    @classmethod
    def parse(cls, fields: Any, where: Where) -> Source:
        """As MavenSource does."""
        return MavenSource.parse(fields, where)

    @property
    def key(self) -> str:
        """The zip's digest and the selection from it."""
        origin = self.file.coordinate if self.digest == UNPINNED else self.digest
        return hashlib.sha256(repr((origin, self.select.rules)).encode()).hexdigest()

    def fetch(self, job: Job) -> list[Entry]:
        """Have mvn bring the zip, verify it, and take the selected members in."""
        job.check_pinned(self.digest)
        work = make_folder(job.work / "maven", 0o700)
        copy([self.file], self.plugin, work, job, f"{self.file.filename} by mvn", 0)
        path = maven.jar_in(work, self.file)
        if path is None:
            raise PreflightError(f"mvn brought no {self.file.filename}")
        found = file_digest(path, self.digest)
        if self.digest == UNPINNED:
            job.note(f"{path.name} was taken on trust; if it is the right one, pin it with digest: {found}")
        elif found != self.digest:
            raise PreflightError(
                f"{self.file.coordinate}: wrong digest, {found} instead of {self.digest}",
                hint="Check Maven's mirror.",
            )
        job.progress(f"unpacking {self.file.filename}", 0, 0)
        return self.select.take(path, path.name, job.blobs)

    def inputs(self) -> list[Mapping[str, str]]:
        """The zip."""
        file, where = self.file, self.where
        purl = f"pkg:maven/{file.group}/{file.artifact}@{file.version}?type=zip"
        return [
            {"name": f"{file.group}:{file.artifact}", "version": file.version, "licence": where.licence, "purl": purl,
             "digest": self.digest}
        ]  # fmt: skip
