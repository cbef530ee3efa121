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
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import Finding, InputError, PreflightError
from ..paths import cache_dir, chown_to_caller
from .blobs import Blobs
from .catalogue import FOLDER, Artifact, catalogue
from .disk import Hashes, make_folder, write_atomically
from .download import Rules
from .mirrors import bring, mirrors
from .session import make_folders, session
from .sources.base import Job, Progress, Source, silent
from .tree import Entry, tree_digest
from .unpack import pack_tree

#: Names, separated by commas, of artefacts whose unpinned files are taken on trust.
ACCEPT = "LABCTL_ACCEPT_UNPINNED"


@dataclass(frozen=True)
class Resolved:
    """An artefact in the store: ``digest`` is its tree's, ``path`` the tree's folder.

    ``source`` says where it came from just now: ``store``, ``mirror``, or the catalogue's source that was fetched.
    ``origin`` is the catalogue's source whose tree it is. ``notes`` are for a person: which source failed, what was
    found damaged.
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
    """The calling user's store. Making the object touches nothing; several processes may use the store at once.

    ``accept_unpinned`` takes files on trust for which the catalogue has no digest; ``folders`` are the catalogues that
    sources take other artefacts from.
    """

    def __init__(
        self,
        root: Path | None = None,
        *,
        rules: Rules = Rules(),  # noqa: B008 - immutable
        accept_unpinned: bool = False,
        folders: tuple[Path, ...] = (FOLDER,),
    ) -> None:
        self.root = root or cache_dir() / "store"
        self.rules = rules
        self.accept_unpinned = accept_unpinned
        self.folders = folders

    def resolve(
        self,
        artifact: Artifact,
        progress: Progress | None = None,
        *,
        source: str = "",
        digest: str = "",
        locked_by: str = "",
        within: tuple[str, ...] = (),
    ) -> Resolved:
        """The artefact, from the store when it is whole there, else from its sources in order, or ``source`` alone.

        Every file is checked each time; a file whose inode, size and times are those of an earlier check is not read
        again. Processes that want the same artefact wait for each other, and the first fetches. ``progress`` is told
        what is being done, bytes so far and bytes in all. ``digest`` is that which its tree must have, because the lock
        ``locked_by`` says so. ``within`` names artefacts that this one is fetched for.
        Raises PreflightError when no source gives it, with each source's reason as a finding, and InputError for a
        ``source`` the catalogue does not list.
        """
        sources = _chosen(artifact, source)
        if artifact.name in within:
            raise InputError(f"the catalogue makes {artifact.name} of itself: {' of '.join((*within, artifact.name))}")
        progress = progress or silent
        with session(self.root, artifact.id, progress) as blobs:
            for item in sources:
                if (found := self._present(artifact, item, blobs)) and digest in ("", found.digest):
                    self._used(found.digest)
                    return found
            # What stood here before is mended from where it came from, not replaced by another source's tree.
            sources = sorted(sources, key=lambda item: not self._stands(item, blobs))
            failures: list[Finding] = []
            for item in sources:
                try:
                    came, entries = self._fetch(artifact, item, blobs, progress, within, failures, digest)
                except PreflightError as exc:
                    failures.append(Finding(item.name, str(exc), exc.hint))
                    blobs.clear_work()
                    continue
                gives = tree_digest(entries)
                path = blobs.lay_out(gives, entries)
                self._used(gives)
                notes = (*blobs.notes, *(f"source {failure}" for failure in failures))
                return Resolved(artifact.name, artifact.version, gives, path, came, item.name, tuple(entries), notes)
        if locked_by:
            raise PreflightError(
                f"{artifact.name} {artifact.version}: none of its sources gives what {locked_by} has",
                hint=f"Mend one of these sources, or take what there is now: labctl lock --upgrade {artifact.name}.",
                findings=tuple(failures),
            )
        raise PreflightError(
            f"{artifact.name} {artifact.version}: none of its sources gives it",
            hint=f"Mend one of these sources, or fill {self.root} from a machine that has it.",
            findings=tuple(failures),
        )

    def find(self, artifact: Artifact, *, source: str = "", digest: str = "") -> Resolved | None:
        """The artefact when it is whole in the store, else None. Fetches, mends and locks nothing: for check mode."""
        hashes = Hashes(self.root / "verified" / f"{artifact.id}.json")
        blobs = Blobs(self.root, self.root / "tmp" / artifact.id, hashes)
        found = (self._present(artifact, item, blobs) for item in _chosen(artifact, source))
        return next((one for one in found if one and digest in ("", one.digest)), None)

    def expected(self, artifact: Artifact, *, source: str = "") -> tuple[Entry, ...]:
        """What the first of the sources would give, where that can be told without fetching; else nothing."""
        return tuple(self._known(_chosen(artifact, source)[0]) or ())

    def pack(self, resolved: Resolved) -> Path:
        """The tree as one tar (see ``unpack.pack_tree``), made once and kept in the store; verified before each use."""
        with session(self.root, resolved.digest, silent) as blobs:
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
        """A source's files: what the catalogue pins, else what an earlier fetch of the same content found."""
        if (pinned := item.entries()) is not None:
            return pinned
        with contextlib.suppress(OSError, ValueError, TypeError):
            return [Entry(*fields) for fields in json.loads(self._record(item).read_text())]
        return None

    def _record(self, item: Source) -> Path:
        return self.root / "records" / f"{item.key}.json"

    def _fetch(
        self,
        artifact: Artifact,
        item: Source,
        blobs: Blobs,
        progress: Progress,
        within: tuple[str, ...],
        failures: list[Finding],
        digest: str,
    ) -> tuple[str, list[Entry]]:
        """Have every blob of a source: where from, and its files. A blob that is there already is not fetched again.

        What is wrong with mirrors is added to ``failures``; with the source itself, it is raised as PreflightError.
        """
        known = self._known(item)
        if known is not None:
            _check_digest(known, digest)
        # All are looked at, not only up to the first that is missing: each damaged one is reported.
        missing = [entry for entry in known or () if not blobs.has(entry)]
        if known is not None and not missing:
            return "store", known
        site = mirrors()
        for mirror in site if known is not None else ():
            problem = bring(missing, mirror, blobs, self.rules, progress)
            if problem is None:
                return "mirror", known or []
            failures.append(problem)
            missing = [entry for entry in missing if not blobs.has(entry)]

        def other(name: str, version: str | None) -> Resolved:
            wanted = catalogue(name, version, folders=self.folders, arch=artifact.arch)
            return self.resolve(wanted, progress, within=(*within, artifact.name))

        entries = item.fetch(
            Job(
                blobs=blobs,
                missing=missing,
                resolve=other,
                progress=progress,
                rules=self.rules,
                accept_unpinned=self.accept_unpinned or artifact.name in _accepted(),
                mirrors=site,
            )
        )
        pinned = item.entries()
        if pinned is None:
            write_atomically(self._record(item), json.dumps(entries))
        elif wrong := sorted(entry.path for entry in set(entries) ^ set(pinned)):
            raise PreflightError(f"what came is not what the catalogue pins: {', '.join(dict.fromkeys(wrong))}")
        _check_digest(entries, digest)
        return item.name, entries

    def _used(self, digest: str) -> None:
        """Remember when a tree was last asked for: what was not for longest goes first (:mod:`.keep`)."""
        make_folder(self.root / "used", 0o700)
        path = self.root / "used" / digest
        path.touch(mode=0o600)
        chown_to_caller(path)

    def remember_lab(self, lock: Path) -> None:
        """Remember a lab's lock: what it names is kept for as long as it exists (:mod:`.keep`)."""
        # A lab that has an image and no artefact may be the first to come here.
        make_folders(self.root)
        path = make_folder(self.root / "labs", 0o700) / hashlib.sha256(str(lock).encode()).hexdigest()[:32]
        if not path.exists():
            write_atomically(path, str(lock))


def _check_digest(entries: list[Entry], digest: str) -> None:
    """PreflightError with both digests where a tree is not the one that is asked for."""
    if digest and (found := tree_digest(entries)) != digest:
        raise PreflightError(f"its files have digest {found} instead of {digest}")


def _accepted() -> set[str]:
    return {word.strip() for word in os.environ.get(ACCEPT, "").split(",")}


def _chosen(artifact: Artifact, source: str) -> list[Source]:
    """The sources whose kind is among those named, which commas separate; all where none is."""
    names = [item.name for item in artifact.sources]
    wanted = set(source.split(",")) if source else set(names)
    if not wanted & set(names):
        raise InputError(
            f"{artifact.name} has no source {source!r}", hint=f"Its sources: {', '.join(names)}; or leave it out."
        )
    return [item for item in artifact.sources if item.name in wanted]
