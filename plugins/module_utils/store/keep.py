# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: looking after the store: every byte verified again, and what nobody uses removed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..errors import Finding, InputError, PreflightError
from ..lablock import LabLock, rows
from ..paths import STATE_ROOT, cache_dir
from .disk import Hashes
from .session import alone
from .tree import Entry, files_in, sha256_file, tree_digest

#: What an interrupted download left is kept this long, in seconds, for the next one to go on from.
PATIENCE = 86400.0

_TREE = re.compile(r"trees/([0-9a-f]{64})")


def verify(root: Path, progress: Callable[[int, int], None]) -> tuple[int, list[Finding]]:
    """Read every file of the store: how many files, and what is not what its name says.

    What was remembered of damaged files is forgotten, so that the next fetch sees and mends them. ``progress`` is told
    bytes so far and in all. Raises OSError.
    """
    blobs = sorted(path for path in (root / "blobs" / "sha256").glob("??/*") if not path.is_symlink())
    trees = sorted((root / "trees").glob("*"))
    paths = {_inode(path): path for path in [*blobs, *(tree / name for tree in trees for name in files_in(tree))]}
    total, done, known = sum(path.lstat().st_size for path in paths.values()), 0, {}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for (inode, path), digest in zip(paths.items(), pool.map(_digest, paths.values()), strict=True):
            known[inode] = digest
            done += path.lstat().st_size
            progress(done, total)
    wrong = [
        Finding(f"blob {path.name}", f"has sha256 {known[_inode(path)] or 'of nothing: it is no file'}")
        for path in blobs
        if known[_inode(path)] != path.name
    ]
    for tree in trees:
        found = tree_digest(_entries(tree, lambda path: known[_inode(path)]))
        if found != tree.name:
            wrong.append(Finding(f"tree {tree.name}", f"has files of digest {found}"))
    if wrong:
        for memory in (root / "verified").glob("*.json"):
            memory.unlink()
    return len(paths), wrong


def _digest(path: Path) -> str:
    return sha256_file(path) if path.is_file() and not path.is_symlink() else ""


def _inode(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino


def _entries(tree: Path, digest: Callable[[Path], str]) -> list[Entry]:
    found = []
    for name in files_in(tree):
        status = (tree / name).lstat()
        found.append(Entry(name, status.st_mode & 0o7777, status.st_size, digest(tree / name)))
    return found


@dataclass(frozen=True)
class Unit:
    """What is removed at once: its folders and files, bytes on disk, and when somebody last asked for it."""

    kind: str
    name: str
    paths: tuple[Path, ...]
    size: int
    used: float


@dataclass(frozen=True)
class Collected:
    """What a collection removed, or would, and the bytes that the store has then."""

    removed: tuple[Unit, ...]
    left: int
    kept: int  # bytes that are in use, whatever the budget


def collect(root: Path, budget: int | None, *, dry_run: bool = False) -> Collected:
    """Remove what no artefact needs, and, until the store fits into ``budget`` bytes, what was not used for longest.

    What a lab on this machine runs from, or a lab's lock names that was resolved with this store, stays. Waits until
    nobody fetches. Raises PreflightError where it cannot be told what labs use.
    """
    if not root.is_dir():
        return Collected((), 0, 0)
    with alone(root):
        needed, images_used = locked_trees(root) | _running_trees(), _running_images()
        left = _size([root, *_images()])
        removed: list[Unit] = []
        for unit in _rubbish(root):
            left -= unit.size
            removed.append(_gone(unit, root, dry_run=dry_run))
        rest = [*_trees(root, needed), *_image_units(images_used)]
        for unit in sorted(rest, key=lambda unit: unit.used):
            if budget is None or left <= budget:
                break
            left -= unit.size
            removed.append(_gone(unit, root, dry_run=dry_run))
        if not dry_run:
            for unit in _rubbish(root):  # blobs that only removed trees were made of
                left -= unit.size
                removed.append(_gone(unit, root, dry_run=False))
            left = _size([root, *_images()])
        kept = _size([root / "trees" / digest for digest in needed])
    return Collected(tuple(removed), left, kept)


def locked_trees(root: Path) -> set[str]:
    """Digests of all trees that locks of labs name, as far as they still exist; locks that went are forgotten."""
    found: set[str] = set()
    for note in (root / "labs").glob("*"):
        lock = Path(note.read_text())
        if not lock.is_file():
            note.unlink()
            continue
        try:
            found |= {digest for _, _, _, digest in rows(LabLock(lock.parent).read())}
        except InputError as exc:
            raise PreflightError(f"what a lab uses cannot be told: {exc}", hint=exc.hint) from exc
    return found


def _running_trees() -> set[str]:
    """Digests of all trees that a host on this machine was given, by the manifests on it."""
    found: set[str] = set()
    for host in (STATE_ROOT / "nspawn").glob("*/*.host.json"):
        folder = host.with_name(host.name.removesuffix(".host.json")) / "upper" / "var/lib/labctl/manifest.d"
        try:
            for manifest in folder.iterdir():
                found |= set(_TREE.findall(manifest.read_text(errors="replace")))
        except FileNotFoundError:
            continue
        except OSError as exc:
            raise PreflightError(
                f"what the hosts on this machine use cannot be told: {folder}: {exc.strerror}", hint="Use sudo."
            ) from exc
    return found


def _running_images() -> str:
    """All that hosts' records say: the images that they lie over are named in it."""
    return "".join(path.read_text() for path in (STATE_ROOT / "nspawn").glob("*/*.host.json"))


def _images() -> list[Path]:
    """Base images, which are root's; for others there are none to remove."""
    folder = cache_dir() / "images" / "nspawn"
    return sorted(folder.glob("[0-9a-f]*")) if os.access(folder, os.W_OK | os.X_OK) else []


def _image_units(used: str) -> Iterator[Unit]:
    for path in _images():
        if path.name.split(".")[0] not in used:
            yield Unit("image", path.name, (path,), _size([path]), path.stat().st_mtime)


def _trees(root: Path, needed: set[str]) -> Iterator[Unit]:
    for tree in (root / "trees").glob("*"):
        if tree.name not in needed:
            used = root / "used" / tree.name
            packs = tuple((root / "packs").glob(f"{tree.name}.*"))
            when = (used if used.exists() else tree).stat().st_mtime
            # A blob goes with the last tree that has it.
            yield Unit("tree", tree.name, (tree, used, *packs), _size([tree, *packs]), when)


def _rubbish(root: Path) -> Iterator[Unit]:
    """What is of no use to anybody: damaged files, old partial downloads, blobs and tars that belong to no tree."""
    now = time.time()
    for path in (root / "quarantine").glob("*"):
        yield Unit("quarantine", path.name, (path,), _size([path]), 0)
    for path in (root / "partial").glob("*"):
        if now - path.stat().st_mtime > PATIENCE:
            yield Unit("partial", path.name, (path,), _size([path]), 0)
    for path in (root / "tmp").glob("*"):
        yield Unit("tmp", path.name, (path,), _size([path]), 0)
    for path in (root / "packs").glob("*"):
        if not (root / "trees" / path.name.split(".")[0]).is_dir():
            yield Unit("pack", path.name, (path,), _size([path]), 0)
    copies = _copied(root)
    for path in (root / "blobs" / "sha256").glob("??/*"):
        if path.lstat().st_nlink == 1 and path.name not in copies:
            yield Unit("blob", path.name, (path,), _size([path]), 0)


def _copied(root: Path) -> set[str]:
    """The sha256 of each file of a tree that is no hard link, since its mode is not its blob's."""
    memories = [Hashes(path) for path in (root / "verified").glob("*.json")]
    found: set[str] = set()
    for path in (root / "trees").glob("**/*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1:
            known = next(filter(None, (memory.known(path) for memory in memories)), "")
            found.add(known or sha256_file(path))
    return found


def _gone(unit: Unit, root: Path, *, dry_run: bool) -> Unit:
    for path in unit.paths if not dry_run else ():
        # Under another name first: a run that dies in between leaves nothing half-there under a final one.
        draft = root / "tmp" / f"gone-{path.name}"
        with contextlib.suppress(FileNotFoundError):
            if path.is_dir() and not path.is_symlink():
                if path.stat().st_dev == (root / "tmp").stat().st_dev:
                    path.rename(draft)
                shutil.rmtree(draft if draft.exists() else path)
            else:
                path.unlink()
    return unit


def _size(paths: list[Path]) -> int:
    """Bytes on disk below all of the paths, a file with several names once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for top in paths:
        for path in [top, *top.rglob("*")] if top.is_dir() and not top.is_symlink() else [top]:
            with contextlib.suppress(FileNotFoundError):
                status = path.lstat()
                if (inode := (status.st_dev, status.st_ino)) not in seen:
                    seen.add(inode)
                    total += status.st_blocks * 512
    return total
