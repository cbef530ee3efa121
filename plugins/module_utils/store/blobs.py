# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the store's files by content, and the trees that are laid out from them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

from ..paths import chown_to_caller
from .disk import Hashes, make_folder
from .tree import CHUNK, Entry, files_in


class Blobs:
    """``blobs/sha256/<aa>/<hex>`` (0444) and ``trees/<tree digest>``, whose files are hard links to blobs.

    ``work`` is a folder of the same file system that only the holder of the artefact's lock writes to. ``notes``
    collects what a person should know: what was found damaged and put aside. Nothing is synced to disk: after a power
    cut a half-written file has the wrong digest, and is fetched again like any other damaged one.
    """

    def __init__(self, root: Path, work: Path, hashes: Hashes) -> None:
        self.root = root
        self.work = work
        self.hashes = hashes
        self.notes: list[str] = []

    def clear_work(self) -> None:
        """Empty the work folder."""
        shutil.rmtree(self.work)
        make_folder(self.work, 0o700)

    def partial(self, what: str) -> Path:
        """Where what has arrived of a download is kept for the next run; ``what`` tells it from the artefact's others.

        The work folder is emptied by whoever comes next, this is not.
        """
        name = f"{self.work.name}-{hashlib.sha256(what.encode()).hexdigest()[:16]}"
        return make_folder(self.root / "partial", 0o700) / name

    def path(self, sha256: str) -> Path:
        """Where a blob lies, whether or not it is there."""
        return self.root / "blobs" / "sha256" / sha256[:2] / sha256

    def tree(self, digest: str) -> Path:
        """Where a tree lies, whether or not it is there."""
        return self.root / "trees" / digest

    def has(self, entry: Entry) -> bool:
        """Whether the blob is there and its bytes are right; a damaged one is put into quarantine, with a note."""
        path = self.path(entry.sha256)
        if self._right(path, entry):
            return True
        if os.path.lexists(path):
            self.quarantine(path, f"blob {entry.sha256} ({entry.path}) was damaged on disk")
        return False

    def _right(self, path: Path, entry: Entry) -> bool:
        try:
            status = path.lstat()
            regular = path.is_file() and not path.is_symlink()
            return regular and status.st_size == entry.size and self.hashes.sha256(path) == entry.sha256
        except FileNotFoundError:
            return False

    def quarantine(self, path: Path, why: str) -> None:
        """Move something that is not what it should be out of the way, and note it."""
        target = make_folder(self.root / "quarantine", 0o700) / f"{path.name}.{secrets.token_hex(4)}"
        with contextlib.suppress(FileNotFoundError):  # another artefact has it too, and was quicker
            path.rename(target)
        self.notes.append(f"{why}; it was moved to {target}")

    def add(self, path: Path, sha256: str) -> None:
        """Take over a file whose sha256 the caller has just computed. The file moves; an equal blob wins."""
        target = self.path(sha256)
        make_folder(target.parent)
        path.chmod(0o444)
        chown_to_caller(path)
        path.replace(target)

    def add_stream(self, stream: io.RawIOBase | io.BufferedIOBase) -> tuple[str, int]:
        """Take in a stream of bytes; its sha256 and size."""
        draft = self.work / secrets.token_hex(8)
        digest, size = hashlib.sha256(), 0
        with draft.open("xb") as target:
            for block in iter(lambda: stream.read(CHUNK), b""):
                digest.update(block or b"")
                size += target.write(block or b"")
        self.add(draft, digest.hexdigest())
        return digest.hexdigest(), size

    def faults(self, digest: str, entries: Iterable[Entry]) -> list[str]:
        """What is wrong with a tree on disk, as paths: missing, changed, of another mode, or not of the tree."""
        tree = self.tree(digest)
        if not tree.is_dir() or tree.is_symlink():
            return ["."]
        wanted = {entry.path: entry for entry in entries}
        found = set(files_in(tree))
        wrong = sorted(found ^ wanted.keys())
        for path in sorted(found & wanted.keys()):
            entry = wanted[path]
            if (tree / path).lstat().st_mode & 0o7777 != entry.mode or not self._right(tree / path, entry):
                wrong.append(path)
        return wrong

    def lay_out(self, digest: str, entries: list[Entry]) -> Path:
        """Make a tree of blobs that are all there, or mend the one that stands, and return its folder.

        A new tree appears at once and whole. An old one is mended file by file, each by a rename, since hosts may be
        running from it.
        """
        tree = self.tree(digest)
        if tree.is_symlink() or (tree.exists() and not tree.is_dir()):
            self.quarantine(tree, f"tree {digest} was not a folder")
        if not tree.exists():
            draft = make_folder(self.work / f"tree-{secrets.token_hex(4)}")
            for entry in entries:
                self._place(entry, draft)
            make_folder(tree.parent)
            with contextlib.suppress(OSError):
                draft.rename(tree)
                return tree
            # Another artefact of the same files, whose lock is another, came first.
            if not tree.exists():
                draft.rename(tree)
                return tree
            shutil.rmtree(draft)
        wanted = {entry.path: entry for entry in entries}
        for path in self.faults(digest, entries):
            if path not in wanted:
                self.quarantine(tree / path, f"{path} does not belong into tree {digest}")
        for path in self.faults(digest, entries):
            self._place(wanted[path], tree)
            self.notes.append(f"{path} of tree {digest} was put back")
        return tree

    def _place(self, entry: Entry, tree: Path) -> None:
        """Link a blob into a tree, or copy it where the mode differs: a link shares its mode with the blob."""
        _folders((tree / entry.path).parent, tree)
        draft = self.work / secrets.token_hex(8)
        if entry.mode == 0o444:
            os.link(self.path(entry.sha256), draft)
        else:
            shutil.copyfile(self.path(entry.sha256), draft)
            draft.chmod(entry.mode)
            chown_to_caller(draft)
        draft.replace(tree / entry.path)
        # rename(2) does nothing when both names already are the same file.
        draft.unlink(missing_ok=True)


def _folders(folder: Path, top: Path) -> None:
    if folder != top:
        _folders(folder.parent, top)
        make_folder(folder)
