# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Importing a bundle: into the store, and the lab's files into a folder. All of it is verified before any is taken."""

from __future__ import annotations

import json
import platform
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ansible_collections.labctl.stacks.plugins.module_utils.errors import Finding, InputError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.paths import chown_to_caller, make_dir
from ansible_collections.labctl.stacks.plugins.module_utils.store.blobs import Blobs
from ansible_collections.labctl.stacks.plugins.module_utils.store.disk import write_atomically
from ansible_collections.labctl.stacks.plugins.module_utils.store.session import session
from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Store
from ansible_collections.labctl.stacks.plugins.module_utils.store.tree import Entry

from labctl.lab.bundle.index import Index, Member, digest_of, refused
from labctl.lab.bundle.keys import check_trust
from labctl.lab.bundle.read import Reader, opened
from labctl.lab.events import Event, Listener
from labctl.lab.locate import FOLDER

#: Bytes left free on the store's disk beside the bundle.
_SPARE = 64 << 20


@dataclass(frozen=True)
class Trust:
    """What makes a bundle trusted: the digest of its index, a public key, or the user's word."""

    digest: str = ""
    key: Path | None = None
    unpinned: bool = False


@dataclass(frozen=True)
class Imported:
    """A bundle that was taken in: its digest and index, where the lab's files are, and which were new."""

    digest: str
    index: Index
    folder: Path
    written: tuple[str, ...]
    notes: tuple[str, ...]


def load(path: Path, folder: Path, trust: Trust, tell: Listener, store: Store | None = None) -> Imported:
    """Import the bundle in ``path``; the lab's files go into ``folder``. A second time changes nothing.

    InputError for what is no bundle, not the right one, or damaged, and where another lab is in ``folder``;
    PreflightError for another architecture and a full disk. In each case nothing was taken.
    """
    store = store or Store()

    last = -1

    def reading(done: int, total: int) -> None:
        nonlocal last
        if done != last:
            last = done
            tell(Event("artifact", "bundle", "reading", done=done, total=total))

    with opened(path, reading) as reader:
        index = reader.index()
        check_trust(reader.raw, reader.signature, digest=trust.digest, key=trust.key, unpinned=trust.unpinned)
        if index.arch != platform.machine():
            raise PreflightError(
                f"the bundle is for {index.arch}, this machine is {platform.machine()}",
                hint="Export the lab on a machine like this one.",
            )
        target = folder / FOLDER if index.default else folder
        lab_files = {one.path.removeprefix("lab/"): one for one in index.members if one.path.startswith("lab/")}
        _refuse_other_lab(target, lab_files)
        with session(store.root, "bundle", lambda step, done, total: tell(Event("artifact", "bundle", step))) as blobs:
            _check_room(store.root, index, blobs)
            staged = _stage(reader, index, blobs)
            _take(index, staged, blobs, store.root)
            # Before the lab is there: what it keeps to is not to be collected.
            if "lab.lock" in lab_files:
                store.remember_lab(target / "lab.lock")
            written = _write_lab(target, {name: staged[one.path] for name, one in lab_files.items()})
    return Imported(digest_of(reader.raw), index, target, written, _notes(index))


def _notes(index: Index) -> tuple[str, ...]:
    ours = metadata.version("labctl")
    if index.labctl == ours:
        return ()
    return (f"the bundle was made by labctl {index.labctl}, this is {ours}: its catalogue may name other files",)


def _refuse_other_lab(target: Path, lab_files: dict[str, Member]) -> None:
    """InputError where a file of the lab's would replace another one; equal ones are left."""
    from labctl.lab.bundle.write import member_of

    findings = []
    for name, member in lab_files.items():
        path = target / name
        for parent in [path, *path.parents]:
            if parent == target.parent:
                break
            if parent.is_symlink():
                findings.append(Finding(str(parent), "is a link"))
        if path.is_dir() or (path.is_file() and member_of(member.path, path) != member):
            findings.append(Finding(str(path), "is there already, and differs"))
    if findings:
        raise InputError(
            f"{target} holds another lab", hint="import into an empty folder: -C FOLDER", findings=tuple(findings)
        )


def _check_room(root: Path, index: Index, blobs: Blobs) -> None:
    missing = {member.sha256: member.size for member in index.members if not blobs.path(member.sha256).is_file()}
    needed, free = sum(missing.values()) + _SPARE, shutil.disk_usage(root).free
    if needed > free:
        raise PreflightError(
            f"{root} has {free >> 20} MiB free, the bundle takes {needed >> 20} MiB",
            hint="Make room, or put the cache elsewhere with LABCTL_CACHE_DIR.",
        )


def _stage(reader: Reader, index: Index, blobs: Blobs) -> dict[str, Path | None]:
    """Unpack every member the store lacks into the work folder; where each is, None for what the store has."""
    staged: dict[str, Path | None] = {}
    for number, (member, content) in enumerate(reader.members(index.members)):
        if not member.path.startswith("lab/") and blobs.has(Entry(member.path, 0o444, member.size, member.sha256)):
            for _ in content:
                pass
            staged[member.path] = None
            continue
        draft = blobs.work / f"member-{number}"
        with draft.open("xb") as stream:
            for block in content:
                stream.write(block)
        staged[member.path] = draft
    return staged


def _take(index: Index, staged: dict[str, Path | None], blobs: Blobs, root: Path) -> None:
    """Move what was verified into the store, lay the trees out, and note what only a fetch would tell."""
    for member in index.members:
        draft = staged[member.path]
        if draft is not None and not member.path.startswith("lab/"):
            blobs.add(draft, member.sha256)
    for artifact in index.artifacts:
        blobs.lay_out(artifact.digest, list(artifact.files))
        if artifact.recorded:
            write_atomically(root / "records" / f"{artifact.key}.json", json.dumps(artifact.files))
    for image in index.images:
        recipe = str(image["recipe"])
        if not recipe.isalnum():
            raise refused("an image's recipe has no plain name")
        write_atomically(root / "records" / f"image-{recipe}.json", json.dumps(image))


def _write_lab(target: Path, files: dict[str, Path | None]) -> tuple[str, ...]:
    """Put the lab's files where they belong, lab.yml last; the names of those that were not there."""
    written = []
    for name, draft in sorted(files.items(), key=lambda item: item[0] == "lab.yml"):
        path = target / name
        if draft is None or path.exists():
            continue
        make_dir(path.parent)
        new = path.with_name(f".{path.name}.part")
        shutil.copyfile(draft, new)
        chown_to_caller(new)
        new.replace(path)
        written.append(name)
    return tuple(written)
