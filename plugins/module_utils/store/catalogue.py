# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the catalogue, which pins what every artefact is made of and where it may come from.

``artifacts/<name>.yml`` is described in ``artifacts/README.md``. An entry is read strictly: a key that is not known
is an error, since a misspelt ``digest`` must not turn into no digest.
"""

from __future__ import annotations

import difflib
import fnmatch
import functools
import hashlib
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..errors import InputError
from .tree import Entry, plain_path, sha256_file

#: The catalogue of this collection, <collection>/artifacts; links are not resolved, an editable checkout is one.
FOLDER = Path(__file__).absolute().parents[3] / "artifacts"
UNPINNED = "unpinned"

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}|" + UNPINNED)
_LOCK_LINE = re.compile(r"[0-9a-f]{64} [A-Za-z0-9_.-]+(:[A-Za-z0-9_.+-]+){2,3} [0-9]{1,12}")


@dataclass(frozen=True)
class Jar:
    """A line of a jar lock: Maven coordinates (classifier may be empty), and the file they must give."""

    group: str
    artifact: str
    version: str
    classifier: str
    sha256: str
    size: int

    @property
    def coordinate(self) -> str:
        """``group:artifact:version[:classifier]``."""
        return ":".join(filter(None, (self.group, self.artifact, self.version, self.classifier)))

    @property
    def filename(self) -> str:
        """``artifact-version[-classifier].jar``, as every Maven repository names it."""
        return "-".join(filter(None, (self.artifact, self.version, self.classifier))) + ".jar"


@dataclass(frozen=True)
class MavenSource:
    """Jars by their coordinates, through ``mvn``, each checked against the lock; and small files of our own."""

    plugin: str  # group:artifact:version of the maven-dependency-plugin
    lock: Path
    jars: tuple[Jar, ...]
    folders: tuple[tuple[str, str], ...]  # (pattern on group:artifact, folder), first match; else lib
    files: Path | None
    roots: tuple[str, ...] = ()
    single: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    name: str = "maven"

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


@dataclass(frozen=True)
class ArchiveSource:
    """A release archive of the project itself, for one machine architecture ("" where there is none for it)."""

    urls: tuple[str, ...]
    digest: str  # sha256:<hex>, sha512:<hex> or "unpinned"
    allow_unpinned: bool
    max_bytes: int
    select: tuple[tuple[str, str], ...]  # (pattern on the member's path, folder it goes to; "" drops it), first match
    name: str = "archive"

    @property
    def key(self) -> str:
        """Names the content that this source gives: the archive's digest and the selection from it."""
        origin = self.urls if self.digest == UNPINNED else self.digest
        return hashlib.sha256(repr((origin, self.select)).encode()).hexdigest()

    def path_of(self, member: str) -> str:
        """Where an archive's member lies in the tree; "" for one that is not taken."""
        for pattern, folder in self.select:
            if match := _glob(pattern).fullmatch(member):
                below = match.groupdict().get("below") or member.rsplit("/", 1)[-1]
                return plain_path(f"{folder}/{below}") if folder else ""
        return ""


@functools.cache
def _glob(pattern: str) -> re.Pattern[str]:
    """``*`` is anything within one folder (fnmatch's would cross folders), ``**`` at the end everything below."""
    head, deep = (pattern[:-2], "(?P<below>.+)") if pattern.endswith("**") else (pattern, "")
    return re.compile("[^/]*".join(re.escape(part) for part in head.split("*")) + deep)


Source = MavenSource | ArchiveSource


@dataclass(frozen=True)
class Artifact:
    """A catalogue entry for one version and architecture; ``sources`` in order of preference."""

    name: str
    version: str
    arch: str
    sources: tuple[Source, ...]


def catalogue(name: str, version: str | None = None, *, folder: Path = FOLDER, arch: str = "") -> Artifact:
    """The catalogue's entry for an artefact; the default version without one, this machine's architecture without one.

    Raises InputError for a name or a version that is not there, and for an entry that breaks the format.
    """
    names = sorted(path.stem for path in folder.glob("*.yml"))
    if name not in names:
        raise _unknown("artefact", name, names)
    where = folder / f"{name}.yml"
    try:
        document = yaml.safe_load(where.read_text())
    except (OSError, yaml.YAMLError) as exc:
        raise InputError(f"{where}: not readable: {exc}") from exc
    entry = _keys(where, document, "the file", required={"name", "default", "versions"}, optional={"summary"})
    versions = entry["versions"]
    wanted = version or str(entry["default"])
    if wanted not in versions:
        raise _unknown(f"version of {name}", wanted, sorted(versions))
    arch = arch or platform.machine()
    parsed = _keys(where, versions[wanted], wanted, required={"sources"})
    sources = tuple(_source(where, item, arch, name) for item in parsed["sources"])
    return Artifact(name, wanted, arch, sources)


def _unknown(kind: str, wanted: str, known: list[str]) -> InputError:
    nearest = difflib.get_close_matches(wanted, known, n=1)
    hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
    return InputError(
        f"no {kind} {wanted!r} in the catalogue", hint=f"{hint}There is: {', '.join(known) or 'nothing'}."
    )


def _keys(
    where: Path,
    item: Any,
    label: str,
    *,
    required: frozenset[str] | set[str],
    optional: frozenset[str] | set[str] = frozenset(),
) -> dict[str, Any]:
    """The mapping, when it has all the required keys and no unknown ones."""
    if not isinstance(item, dict):
        raise InputError(f"{where}: {label} must be a mapping")
    for key in item:
        if key not in required | optional:
            known = sorted(required | optional)
            nearest = difflib.get_close_matches(str(key), known, n=1)
            raise InputError(
                f"{where}: {label} has an unknown key {key!r}", hint=f"Known: {', '.join(nearest or known)}."
            )
    if missing := sorted(required - item.keys()):
        raise InputError(f"{where}: {label} lacks {', '.join(missing)}")
    return item


def _source(where: Path, item: Any, arch: str, name: str) -> Source:
    if isinstance(item, dict) and list(item) == ["maven"]:
        return _maven(where, item["maven"])
    if isinstance(item, dict) and list(item) == ["archive"]:
        return _archive(where, item["archive"], arch, name)
    raise InputError(f"{where}: a source is a mapping with one key, maven or archive")


def _maven(where: Path, item: Any) -> MavenSource:
    fields = _keys(
        where,
        item,
        "maven",
        required={"plugin", "lock", "roots"},
        optional={"folders", "files", "single", "exclude"},
    )
    lock = where.parent / fields["lock"]
    files = where.parent / fields["files"] if fields.get("files") else None
    return MavenSource(
        plugin=fields["plugin"],
        lock=lock,
        jars=read_lock(lock),
        folders=tuple((pattern, plain_path(folder)) for pattern, folder in fields.get("folders", {}).items()),
        files=files,
        roots=tuple(fields["roots"]),
        single=tuple(fields.get("single", ())),
        exclude=tuple(fields.get("exclude", ())),
    )


def _archive(where: Path, item: Any, arch: str, name: str) -> ArchiveSource:
    fields = _keys(where, item, "archive", required={"files", "select"}, optional={"max_bytes", "allow_unpinned"})
    files = _keys(where, fields["files"], "archive.files", required=set(), optional={"any", "x86_64", "aarch64"})
    chosen = files.get(arch, files.get("any"))
    absent = {"urls": [], "digest": UNPINNED}
    file = _keys(where, chosen or absent, f"archive.files.{arch}", required={"urls", "digest"})
    if not _DIGEST.fullmatch(str(file["digest"])):
        raise InputError(f"{where}: digest must be sha256:<hex>, sha512:<hex> or {UNPINNED}, not {file['digest']!r}")
    if bad := [url for url in file["urls"] if not str(url).startswith("https://")]:
        raise InputError(f"{where}: not an https URL: {bad[0]}")
    allowed = {word.strip() for word in os.environ.get("LABCTL_ALLOW_UNPINNED", "").split(",")}
    return ArchiveSource(
        urls=tuple(file["urls"]),
        digest=file["digest"],
        allow_unpinned=bool(fields.get("allow_unpinned")) or name in allowed,
        max_bytes=int(fields.get("max_bytes", 4 << 30)),
        select=tuple((rule["from"], rule["to"]) for rule in fields["select"]),
    )


def read_lock(path: Path) -> tuple[Jar, ...]:
    """The jars of a lock: ``<sha256> <group:artifact:version[:classifier]> <bytes>`` a line, ``#`` begins a comment.

    Raises InputError for a line of another form, and for two lines that would be the same file or another version
    of the same jar, since both would then stand on one class path.
    """
    jars: list[Jar] = []
    seen: dict[str, str] = {}
    try:
        lines = path.read_text().splitlines()
    except OSError as exc:
        raise InputError(f"{path}: not readable: {exc}") from exc
    for number, line in enumerate(lines, 1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if not _LOCK_LINE.fullmatch(" ".join(words)):
            raise InputError(f"{path}:{number}: not `<sha256> <group:artifact:version[:classifier]> <bytes>`")
        group, artifact, version, *classifier = words[1].split(":")
        jar = Jar(group, artifact, version, "".join(classifier), words[0], int(words[2]))
        for key in (jar.filename, f"{group}:{artifact}:{jar.classifier}"):
            if key in seen:
                raise InputError(f"{path}:{number}: {jar.coordinate} and {seen[key]} cannot both be on a class path")
            seen[key] = jar.coordinate
        jars.append(jar)
    return tuple(jars)
