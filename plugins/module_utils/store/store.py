# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the store, where artefacts are fetched once, verified each time, and read from by hosts.

<cache>/store/blobs/sha256/<aa>/<hex>    every file by its content, 0444
              trees/<tree digest>/       an artefact laid out, hard links to blobs; what hosts see, read-only
              records/                   what an archive was found to hold, since only unpacking it tells
              packs/                     trees as one tar, for hosts that cannot see the store
              verified/ locks/ tmp/ quarantine/      ours alone (0700)
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import Finding, InputError, LabError, PreflightError
from ..paths import cache_dir, chown_to_caller, make_dir
from .blobs import Blobs
from .catalogue import Artifact, MavenSource, Source
from .disk import Hashes, make_folder, write_atomically
from .download import Rules
from .fetch import Progress, fetch_archive, fetch_jars
from .tree import Entry, tree_digest
from .unpack import pack_tree

_PRIVATE = ("verified", "locks", "tmp", "records", "packs")


@dataclass(frozen=True)
class Resolved:
    """An artefact in the store: ``digest`` is its tree's, ``path`` the tree's folder.

    ``source`` says where it came from just now: ``store``, or the catalogue's source that was fetched. ``origin`` is
    the catalogue's source whose tree it is. ``notes`` are for a person: which source failed, what was found damaged.
    """

    name: str
    version: str
    digest: str
    path: Path
    source: str
    origin: str
    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()


class Store:
    """The calling user's store. Making the object touches nothing; several processes may use the store at once."""

    def __init__(self, root: Path | None = None, *, rules: Rules = Rules()) -> None:  # noqa: B008 - immutable
        self.root = root or cache_dir() / "store"
        self.rules = rules

    def resolve(self, artifact: Artifact, progress: Progress | None = None, *, source: str = "") -> Resolved:
        """The artefact, from the store when it is whole there, else from its sources in order, or ``source`` alone.

        Every file is checked each time; a file whose inode, size and times are those of an earlier check is not read
        again. Processes that want the same artefact wait for each other, and the first fetches. ``progress`` is told
        what is being done, bytes so far and bytes in all. Raises PreflightError when no source gives it, with each
        source's reason as a finding, and InputError for a ``source`` the catalogue does not list.
        """
        sources = _chosen(artifact, source)
        with self._session(artifact.name, progress) as blobs:
            for item in sources:
                if found := self._present(artifact, item, blobs):
                    return found
            # What stood here before is mended from where it came from, not replaced by another source's tree.
            sources = sorted(sources, key=lambda item: not self._stands(item, blobs))
            failures: list[Finding] = []
            for item in sources:
                try:
                    entries = self._fetch(item, blobs, progress)
                except PreflightError as exc:
                    failures.append(Finding(item.name, str(exc), exc.hint))
                    continue
                digest = tree_digest(entries)
                path = blobs.lay_out(digest, entries)
                notes = (*blobs.notes, *(f"source {failure}" for failure in failures))
                return Resolved(
                    artifact.name, artifact.version, digest, path, item.name, item.name, tuple(entries), notes
                )
        raise PreflightError(
            f"{artifact.name} {artifact.version}: none of its sources gives it",
            hint=f"Mend one of these sources, or fill {self.root} from a machine that has it.",
            findings=tuple(failures),
        )

    def find(self, artifact: Artifact, *, source: str = "") -> Resolved | None:
        """The artefact when it is whole in the store, else None. Fetches, mends and locks nothing: for check mode."""
        hashes = Hashes(self.root / "verified" / f"{artifact.name}.json")
        blobs = Blobs(self.root, self.root / "tmp" / artifact.name, hashes)
        found = (self._present(artifact, item, blobs) for item in _chosen(artifact, source))
        return next(filter(None, found), None)

    def expected(self, artifact: Artifact, *, source: str = "") -> tuple[Entry, ...]:
        """What the first of the sources would give, where that can be told without fetching; else nothing."""
        return tuple(self._known(_chosen(artifact, source)[0]) or ())

    def pack(self, resolved: Resolved) -> Path:
        """The tree as one tar (see ``unpack.pack_tree``), made once and kept in the store; verified before each use."""
        with self._session(resolved.name, None) as blobs:
            path, record = (self.root / "packs" / f"{resolved.digest}.{kind}" for kind in ("tar", "sha256"))
            with contextlib.suppress(FileNotFoundError):
                if blobs.hashes.sha256(path) == record.read_text().strip():
                    return path
            draft = blobs.work / "pack.tar"
            with draft.open("xb") as stream:
                pack_tree(resolved.path, resolved.entries, stream)
            chown_to_caller(draft)
            write_atomically(record, blobs.hashes.sha256(draft))
            draft.replace(path)
            return path

    def _present(self, artifact: Artifact, item: Source, blobs: Blobs) -> Resolved | None:
        """What the store has of a source, when every file of it is there and right."""
        entries = self._known(item)
        if entries is None or blobs.faults(digest := tree_digest(entries), entries):
            return None
        path = blobs.tree(digest)
        return Resolved(artifact.name, artifact.version, digest, path, "store", item.name, tuple(entries))

    def _stands(self, item: Source, blobs: Blobs) -> bool:
        entries = self._known(item)
        return entries is not None and blobs.tree(tree_digest(entries)).is_dir()

    def _known(self, item: Source) -> list[Entry] | None:
        """A source's files, as far as that can be told without fetching."""
        if isinstance(item, MavenSource):
            return item.entries()
        with contextlib.suppress(OSError, ValueError, TypeError):
            return [Entry(*fields) for fields in json.loads((self.root / "records" / f"{item.key}.json").read_text())]
        return None

    def _fetch(self, item: Source, blobs: Blobs, progress: Progress | None) -> list[Entry]:
        """Have every blob of a source; its files. A blob that is there already is not fetched again."""
        known = self._known(item)
        # All are looked at, not only up to the first that is missing: each damaged one is reported.
        missing = [entry for entry in known or () if not blobs.has(entry)]
        if known is not None and not missing:
            return known
        if isinstance(item, MavenSource):
            fetch_jars(item, missing, blobs, progress)
            return item.entries()
        entries = fetch_archive(item, blobs, progress, self.rules)
        write_atomically(self.root / "records" / f"{item.key}.json", json.dumps(entries))
        return entries

    @contextlib.contextmanager
    def _session(self, name: str, progress: Progress | None) -> Iterator[Blobs]:
        """The store's folders, the artefact's lock, an empty work folder, and what was verified before."""
        try:
            make_dir(self.root.parent)
            for folder in (self.root, self.root / "blobs", self.root / "blobs" / "sha256", self.root / "trees"):
                make_folder(folder)
            for private in _PRIVATE:
                make_folder(self.root / private, 0o700)
            with self._locked(name, progress):
                work = self.root / "tmp" / name
                # Only the lock's holder is here, so whatever lies there was left by a run that died.
                shutil.rmtree(work, ignore_errors=True)
                make_folder(work, 0o700)
                hashes = Hashes(self.root / "verified" / f"{name}.json")
                try:
                    yield Blobs(self.root, work, hashes)
                finally:
                    hashes.save()
                    shutil.rmtree(work, ignore_errors=True)
        except OSError as exc:
            raise _unwritable(self.root, exc) from exc

    @contextlib.contextmanager
    def _locked(self, name: str, progress: Progress | None) -> Iterator[None]:
        path = self.root / "locks" / f"{name}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            chown_to_caller(path)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if progress:
                    progress(f"waiting for another run that fetches {name}", 0, 0)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _chosen(artifact: Artifact, source: str) -> list[Source]:
    names = [item.name for item in artifact.sources]
    if source and source not in names:
        raise InputError(
            f"{artifact.name} has no source {source!r}", hint=f"Its sources: {', '.join(names)}; or leave it out."
        )
    return [item for item in artifact.sources if source in ("", item.name)]


def _unwritable(root: Path, exc: OSError) -> LabError:
    hints = {
        errno.ENOSPC: "Free some space there, or put the cache elsewhere with LABCTL_CACHE_DIR.",
        errno.EDQUOT: "Free some of your quota, or put the cache elsewhere with LABCTL_CACHE_DIR.",
        errno.EXDEV: "The whole store must lie on one file system.",
    }
    hint = hints.get(exc.errno or 0, "Make it yours and writable, or put the cache elsewhere with LABCTL_CACHE_DIR.")
    return PreflightError(f"the store {root} cannot be used: {exc.strerror or exc} ({exc.filename or root})", hint=hint)
