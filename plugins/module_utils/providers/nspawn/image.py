# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the base image, a minimal Debian with what a lab's stacks need, unpacked in the cache.

An image is made of a locked set of packages (:mod:`..store.sources.debian`), and named by the sha256 of the tar that
its folder gives: the same set gives the same image. cache/images/nspawn is root's alone, because an image holds
programs that run as root, and is locked while one is made:

    <digest>/        an image; whole, because it gets this name last
    <recipe>.json    the image that was last made for a recipe here, and the set it is made of
    .build-*/        what an interrupted build left; the next one removes it
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError, PreflightError, ProviderError
from ...lab import Lab
from ...lablock import LabLock
from ...paths import cache_dir, make_dir
from ...stacks import STACKS
from ...store.catalogue import Artifact
from ...store.sources.base import Where
from ...store.sources.debian import DebianSource
from ...store.store import Resolved, Store
from ...store.tree import Entry, tree_digest
from ..base import Progress
from .image_build import FILES, LINKS, build
from .image_tar import name_of, unpack
from .rootfs import remove_tree, unmount
from .state import locked, write_text

#: Image name -> the suite it is made of.
SUITES = {"debian-12": "bookworm", "debian-13": "trixie"}
#: To be raised whenever what image_build does changes.
RECIPE_VERSION = 3
BASE_PACKAGES = (
    "ca-certificates",
    "curl",
    "dbus",
    "iproute2",
    "iptables",
    "iputils-ping",
    "kmod",  # without it systemd-modules-load fails under a wide capability set
    "mount",
    "netbase",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "sudo",  # Ansible's become_user
    "systemd",
    "systemd-sysv",
)
#: Whose images have to be: what is in them will run as root.
OWNER = 0


@dataclass(frozen=True)
class Recipe:
    """What an image is asked to be."""

    image: str
    packages: tuple[str, ...]

    @property
    def suite(self) -> str:
        return SUITES[self.image]

    @property
    def digest(self) -> str:
        """16 hex digits that name the recipe."""
        content = {
            "version": RECIPE_VERSION,
            "suite": self.suite,
            "arch": platform.machine(),
            "packages": self.packages,
            "links": LINKS,
            "files": FILES,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def set_of(self, files: tuple[Entry, ...] = ()) -> Artifact:
        """The set of packages, as an artefact; ``files`` are those it has to be made of."""
        where = Where(Path("lab.lock"), self.image, self.digest, platform.machine())
        source = DebianSource(where=where, suite=self.suite, packages=self.packages, locked=files)
        return Artifact(self.image, self.digest, where.arch, (source,))


@dataclass(frozen=True)
class Locked:
    """An image that a recipe resolved to: the sha256 of its tar with the tar's bytes, and the set it is made of."""

    recipe: str
    digest: str
    size: int
    files: tuple[Entry, ...]

    @property
    def packages(self) -> str:
        """The digest of the set."""
        return tree_digest(self.files)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a lock file; a package a line: sha256, bytes and name."""
        return {
            "recipe": self.recipe,
            "image": f"sha256:{self.digest}",
            "bytes": self.size,
            "packages": f"sha256:{self.packages}",
            "files": [f"{entry.sha256} {entry.size} {entry.path}" for entry in sorted(self.files)],
        }

    @classmethod
    def from_dict(cls, data: Any) -> Locked:
        """The reverse. ValueError for what is not such data, or does not agree with its own digest."""
        try:
            lines = [str(line).split(" ", 2) for line in data["files"]]
            files = tuple(Entry(path, 0o444, int(size), sha256) for sha256, size, path in lines)
            found = cls(str(data["recipe"]), str(data["image"]).removeprefix("sha256:"), int(data["bytes"]), files)
            if f"sha256:{found.packages}" != data["packages"] or len(found.digest) != 64 or int(found.digest, 16) < 0:
                raise ValueError("the files are not those of the digest")
        except (KeyError, TypeError, AttributeError) as exc:
            raise ValueError(f"not a locked image: {exc}") from exc
        return found


def recipe_for(image: str, stacks: tuple[str, ...]) -> Recipe:
    """The recipe of a named image for the lab's stacks; InputError for an image nobody knows."""
    if image not in SUITES:
        raise InputError(f"no image is called {image}", hint=f"provider nspawn knows {', '.join(sorted(SUITES))}")
    packages = set(BASE_PACKAGES).union(*(STACKS[stack].packages for stack in stacks))
    return Recipe(image, tuple(sorted(packages)))


def folder() -> Path:
    return cache_dir() / "images" / "nspawn"


def path_of(digest: str) -> Path:
    return folder() / digest


def present(digest: str) -> bool:
    """Whether the image is there, whole and root's."""
    try:
        found = path_of(digest).lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == OWNER


def remembered(recipe: Recipe) -> Locked | None:
    """The image that was last made for a recipe on this machine, or came in a bundle."""
    imported = Store().root / "records" / f"image-{recipe.digest}.json"
    for path in (folder() / f"{recipe.digest}.json", imported):
        with contextlib.suppress(OSError, ValueError):
            if (found := Locked.from_dict(json.loads(path.read_text()))).recipe == recipe.digest:
                return found
    return None


def lock_of(lab: Lab) -> Locked | None:
    """The image that a lab keeps to; None where it has none locked. InputError for a lock that was edited."""
    lock = LabLock(lab.spec.parent)
    data = lock.image()
    try:
        return Locked.from_dict(data) if data else None
    except ValueError as exc:
        raise InputError(f"{lock.path}: image: {exc}", hint="Put the file back, or: labctl lock --upgrade") from exc


def of_lab(lab: Lab, progress: Progress) -> Locked:
    """Have the image that a lab keeps to; what was not locked yet is, by this. Raises as :func:`ensure` does."""
    before, lock = lock_of(lab), LabLock(lab.spec.parent)
    found = ensure(recipe_for(lab.provider.image, lab.stacks), before, progress)
    if found != before:
        lock.record_image(found.to_dict())
    Store().remember_lab(lock.path)
    return found


def forget(recipe: Recipe) -> None:
    """Have the next image of a recipe be made of the packages that are current then. Images themselves stay."""
    records = Store().root / "records"
    sets = [records / f"{source.key}.json" for source in recipe.set_of().sources]
    for path in (folder() / f"{recipe.digest}.json", records / f"image-{recipe.digest}.json", *sets):
        with contextlib.suppress(FileNotFoundError, PermissionError):
            path.unlink()


def wanted(recipe: Recipe, lock: Locked | None) -> Locked | None:
    """The image that a lab gets: the locked one, while that is of this recipe; else the one this machine has."""
    return lock if lock and lock.recipe == recipe.digest else remembered(recipe)


def must_build(recipe: Recipe, lock: Locked | None) -> bool:
    """Whether getting the image takes a build: it is neither unpacked nor, as a tar, in the store."""
    found = wanted(recipe, lock)
    return found is None or not (present(found.digest) or _tar(found).is_file())


def _tar(image: Locked) -> Path:
    """Where the store has an image's tar, whether or not it is there."""
    return Store().root / "blobs" / "sha256" / image.digest[:2] / image.digest


def ensure(recipe: Recipe, lock: Locked | None, progress: Progress) -> Locked:
    """Have the image, once, however many ask for it at a time: the locked one, else this machine's, else a new one.

    It is unpacked from its tar where the store has that, and built of its packages otherwise. Raises PreflightError
    where a locked image cannot be had as it was locked: it is never replaced by another.
    """
    found = wanted(recipe, lock)
    if found and present(found.digest):
        return found
    parent = folder()
    make_dir(parent.parent)
    parent.mkdir(mode=0o700, exist_ok=True)
    if parent.is_symlink() or parent.stat().st_uid != OWNER:
        raise ProviderError(f"{parent} is not root's own folder", hint="remove it; labctl makes it anew")
    progress("", f"waiting for the {recipe.suite} image")
    with locked(parent, wait=True):
        found = wanted(recipe, lock)
        if found is None or not present(found.digest):
            found = _make(recipe, found, found is lock, parent, progress)
        write_text(parent / f"{recipe.digest}.json", json.dumps(found.to_dict()) + "\n", 0o600)
    progress("", f"image {recipe.suite} is ready")
    return found


def _make(recipe: Recipe, found: Locked | None, strict: bool, parent: Path, progress: Progress) -> Locked:
    """Unpack or build an image in a folder of its own, which gets its name at the end."""
    for leftover in parent.glob(".build-*"):
        unmount(leftover)
        remove_tree(leftover)
    draft = Path(tempfile.mkdtemp(prefix=".build-", dir=parent))
    root = draft / "root"
    try:
        if found and _tar(found).is_file():
            progress("", f"unpacking the {recipe.suite} image")
            unpack(_tar(found), root, found.digest)
            made = found
        else:
            packages = _packages(recipe, found if strict else None, progress)
            progress("", f"building the {recipe.suite} image ({len(packages.entries)} packages)")
            build(recipe.packages, packages, root, progress, idle=set(recipe.packages) - set(BASE_PACKAGES))
            made = Locked(recipe.digest, *name_of(root), packages.entries)
            if found and strict and made.digest != found.digest:
                raise PreflightError(
                    f"the image of the locked packages has digest sha256:{made.digest} here, "
                    f"lab.lock says sha256:{found.digest}",
                    hint="another mmdebstrap built it there: bring the image in a bundle (labctl bundle export), "
                    "or move the lab to this one: labctl lock --upgrade",
                )
        os.sync()
        if not present(made.digest):
            root.rename(path_of(made.digest))
    finally:
        with contextlib.suppress(ProviderError):  # the next build clears what would not go
            unmount(draft)
            remove_tree(draft)
    return made


def _packages(recipe: Recipe, lock: Locked | None, progress: Progress) -> Resolved:
    """The set in the store: the locked one, else the current one."""
    last = ""

    def tell(step: str, done: int, total: int) -> None:
        nonlocal last
        if step != last:
            last = step
            progress("", f"image: {step}")

    return Store().resolve(recipe.set_of(lock.files if lock else ()), tell)
