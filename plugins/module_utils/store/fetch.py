# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: from a catalogue's source into the store's blobs, nothing taken that was not verified."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path

from ..errors import Finding, PreflightError
from . import maven
from .blobs import Blobs
from .catalogue import UNPINNED, ArchiveSource, Jar, MavenSource
from .disk import make_folder
from .download import Rules, download
from .tree import Entry, sha256_file
from .unpack import members

#: Told what is being done, bytes so far, and bytes in all (0 where that is not known).
Progress = Callable[[str, int, int], None]


def fetch_jars(source: MavenSource, missing: Iterable[Entry], blobs: Blobs, progress: Progress | None) -> None:
    """Bring the missing files of a Maven source into the store.

    Jars that arrived and are right are kept even when others did not, so that the next attempt asks for less. Raises
    PreflightError that names each jar that is missing or different, with the digest expected and the one found.
    """
    wanted = {entry.path for entry in missing}
    for entry, path in source.own_files():
        if entry.path in wanted:
            with path.open("rb") as stream:
                blobs.add_stream(stream)
    jars = [jar for jar in source.jars if source.path_of(jar) in wanted]
    if not jars:
        return
    total = sum(jar.size for jar in jars)
    work = make_folder(blobs.work / "maven", 0o700)
    failure: PreflightError | None = None
    try:
        text = maven.pom(jars, alone=True)
        tell = functools.partial(_tell, progress, f"{len(jars)} jars by mvn", total)
        maven.copy_jars(text, source.plugin, work, layout=False, progress=tell)
    except PreflightError as exc:
        failure = exc
    findings = [finding for jar in jars if (finding := _take(jar, work, blobs))]
    if failure is not None and len(findings) < len(jars):
        names = ", ".join(finding.where for finding in findings[:3]) + (", ..." if len(findings) > 3 else "")
        raise PreflightError(f"{failure}; still missing: {names}", hint=failure.hint) from failure
    if failure is not None:
        raise failure
    findings += [Finding(name, "was not asked for") for name in maven.unexpected(work, jars)]
    if findings:
        raise PreflightError(
            "the jars do not match the lock: " + "; ".join(str(finding) for finding in findings),
            hint=f"Check Maven's mirror; if the release itself changed, see {source.lock.name} and relock.",
        )
    _tell(progress, "jars verified", total, total)


def _tell(progress: Progress | None, step: str, total: int, done: int) -> None:
    if progress:
        progress(step, min(done, total), total)


def _take(jar: Jar, work: Path, blobs: Blobs) -> Finding | None:
    """Move a jar that mvn brought into the store, or say what is wrong with it."""
    path = maven.jar_in(work, jar)
    if path is None:
        return Finding(jar.coordinate, "is missing")
    found = sha256_file(path)
    if found != jar.sha256:
        return Finding(jar.coordinate, f"has sha256 {found} instead of {jar.sha256}")
    blobs.add(path, found)
    return None


def fetch_archive(source: ArchiveSource, blobs: Blobs, progress: Progress | None, rules: Rules) -> list[Entry]:
    """Download a release archive, verify it, take its selected files into the store; what they are.

    Raises PreflightError: unpinned and not allowed, none for this architecture, every URL's failure in turn, or an
    archive that is not safe to unpack.
    """
    if not source.urls:
        raise PreflightError("there is no archive for this machine's architecture")
    if source.digest == UNPINNED and not source.allow_unpinned:
        raise PreflightError(
            "its digest is unpinned, so nothing says that the file is the right one",
            hint="To take it on trust, set LABCTL_ALLOW_UNPINNED to the artefact's name.",
        )
    archive = blobs.work / "archive"
    problems = []
    for url in source.urls:
        try:
            tell = functools.partial(_told, progress, f"download from {url.split('/')[2]}")
            download(url, archive, source.digest, max_bytes=source.max_bytes, progress=tell, rules=rules)
            break
        except PreflightError as exc:
            problems.append(str(exc))
    else:
        raise PreflightError("; ".join(problems), hint="Check the network, or use another source.")
    entries = _unpack(source, archive, blobs, progress)
    archive.unlink()
    return entries


def _told(progress: Progress | None, step: str, done: int, total: int) -> None:
    if progress:
        progress(step, done, total)


def _unpack(source: ArchiveSource, archive: Path, blobs: Blobs, progress: Progress | None) -> list[Entry]:
    """Take the selected members in. Links become what they point to: a tree has none."""
    name = source.urls[0].rsplit("/", 1)[-1]
    content: dict[str, tuple[str, int, bool]] = {}
    links: dict[str, str] = {}
    _told(progress, f"unpacking {name}", 0, 0)
    with archive.open("rb") as stream:
        for member in members(stream, name):
            if member.stream is None:
                links[member.path] = member.target
            elif source.path_of(member.path):
                content[member.path] = (*blobs.add_stream(member.stream), member.executable)
    for path in [path for path in links if source.path_of(path)]:
        target, steps = path, 0
        while target in links and steps < 32:
            target, steps = links[target], steps + 1
        if target not in content:
            raise PreflightError(f"{name}: link {path!r} points to {target!r}, which is not taken from the archive")
        content[path] = content[target]
    entries: dict[str, Entry] = {}
    for path, (sha256, size, executable) in content.items():
        entry = Entry(source.path_of(path), 0o555 if executable else 0o444, size, sha256)
        if entries.setdefault(entry.path, entry).sha256 != sha256:
            raise PreflightError(f"{name}: two different files for {entry.path}")
        entries[entry.path] = min(entry, entries[entry.path])
    if not entries:
        raise PreflightError(f"{name}: the catalogue's selection finds nothing in it")
    return sorted(entries.values())
