# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: looking after the store: every byte verified again, and what nobody uses removed."""

from __future__ import annotations

import contextlib
import json
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
        used = needed(root)
        caches = list(_build_caches())
        left = _size([root, *_images()]) + sum(unit.size for unit in caches)
        removed: list[Unit] = []
        for unit in _rubbish(root, used.images):
            left -= unit.size
            removed.append(_gone(unit, root, dry_run=dry_run))
        rest = [*caches, *_trees(root, used.trees), *_image_units(used.images)]
        for unit in sorted(rest, key=lambda unit: unit.used):
            if budget is None or left <= budget:
                break
            left -= unit.size
            removed.append(_gone(unit, root, dry_run=dry_run))
        if not dry_run:
            for unit in _rubbish(root, used.images):  # blobs that only removed trees were made of
                left -= unit.size
                removed.append(_gone(unit, root, dry_run=False))
            left = _size([root, *_images(), *(path for unit in caches for path in unit.paths if path.exists())])
        kept = _size([root / "trees" / digest for digest in used.trees])
    return Collected(tuple(removed), left, kept)


@dataclass(frozen=True)
class Needed:
    """What labs on this machine need: digests of trees, and of base images."""

    trees: set[str]
    images: set[str]


def needed(root: Path) -> Needed:
    """What hosts were given, and what locks of labs name that still exist; locks that went are forgotten."""
    trees, images = _running_trees(), _running_images()
    for note in (root / "labs").glob("*"):
        lock = Path(note.read_text())
        if not lock.is_file():
            note.unlink()
            continue
        try:
            trees |= {digest for _, _, _, digest in rows(LabLock(lock.parent).read())}
            image = LabLock(lock.parent).image() or {}
        except InputError as exc:
            raise PreflightError(f"what a lab uses cannot be told: {exc}", hint=exc.hint) from exc
        trees.add(str(image.get("packages", "")).removeprefix("sha256:"))
        images.add(str(image.get("image", "")).removeprefix("sha256:"))
    return Needed(trees, images)


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


def _running_images() -> set[str]:
    """Digests of the images that hosts lie over."""
    return {json.loads(path.read_text()).get("image", "") for path in (STATE_ROOT / "nspawn").glob("*/*.host.json")}


def _images() -> list[Path]:
    """Base images, which are root's; for others there are none to remove."""
    folder = cache_dir() / "images" / "nspawn"
    mine = os.access(folder, os.W_OK | os.X_OK)
    return sorted(path for path in folder.glob("[0-9a-f]*") if path.is_dir()) if mine else []


def _image_units(used: set[str]) -> Iterator[Unit]:
    for path in _images():
        if path.name not in used:
            yield Unit("image", path.name, (path,), _size([path]), path.stat().st_mtime)


def _build_caches() -> Iterator[Unit]:
    """What compilers keep to be quicker the next time: under a budget it goes before anything that was built."""
    for path in sorted((cache_dir() / "go").glob("*")):
        yield Unit("build cache", path.name, (path,), _size([path]), 0)


def _trees(root: Path, used_trees: set[str]) -> Iterator[Unit]:
    for tree in (root / "trees").glob("*"):
        if tree.name not in used_trees:
            used = root / "used" / tree.name
            packs = tuple((root / "packs").glob(f"{tree.name}.*"))
            when = (used if used.exists() else tree).stat().st_mtime
            # A blob goes with the last tree that has it.
            yield Unit("tree", tree.name, (tree, used, *packs), _size([tree, *packs]), when)


def _rubbish(root: Path, images: set[str]) -> Iterator[Unit]:
    """What is of no use to anybody: damaged files, old partial downloads, blobs and tars that belong to nothing."""
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
    copies = _copied(root) | images
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
