# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: tars read without trusting them, and the tars we make. Also runs on hosts.

``members`` never writes: it hands out checked regular files in the archive's order. Whoever writes them writes to
paths of their own making, so that no link in an archive can be written through. tarfile's own ``data`` filter is
not there on every Python a host may have, hence the checks below, which are stricter.
"""

from __future__ import annotations

import contextlib
import io
import lzma
import os
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple

from ..errors import PreflightError
from .tree import CHUNK, Entry, plain_path


class Limits(NamedTuple):
    """What an archive may grow to: bytes of all members together, and how many."""

    size: int
    members: int


#: Far above any release, far below what fills a disk unnoticed.
LIMITS = Limits(8 << 30, 200_000)


class Member(NamedTuple):
    """A file in an archive: path, whether anyone may execute it, size, and its bytes or the path it links to."""

    path: str
    executable: bool
    size: int
    stream: io.RawIOBase | None
    target: str = ""


#: What reading a damaged archive raises. OSError covers gzip's "bad file" and "CRC check failed"; a full disk is raised
#: by the writer, not here.
DAMAGE = (tarfile.TarError, EOFError, OSError, UnicodeError, ValueError, zlib.error, lzma.LZMAError)


class Guarded(io.RawIOBase):
    """A member's bytes, whose end or damage comes as a PreflightError that names the archive."""

    def __init__(
        self, stream: IO[bytes], archive: str, damage: tuple[type[Exception], ...] = DAMAGE, kind: str = "tar"
    ) -> None:
        super().__init__()
        self._stream = stream
        self._archive = archive
        self._damage = damage
        self._kind = kind

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(size)
        except self._damage as exc:
            raise broken(self._archive, exc, self._kind) from exc


def broken(archive: str, exc: Exception, kind: str = "tar") -> PreflightError:
    """The error for an archive that is none, or not a whole one."""
    return PreflightError(f"{archive}: not a whole {kind} archive ({exc})", hint="Get a fresh copy.")


def _refuse(archive: str, name: str, why: str) -> PreflightError:
    return PreflightError(
        f"{archive}: refused, member {name!r} {why}",
        hint="Do not unpack this archive by hand either; get a fresh copy.",
    )


def link_target(member: tarfile.TarInfo) -> str:
    """Where a link points, from the archive's root. Hard links name a member, symbolic links a path beside them."""
    if member.islnk():
        return plain_path(member.linkname)
    if member.linkname.startswith("/"):
        return plain_path(member.linkname)
    joined = os.path.normpath(str(Path(member.name).parent / member.linkname))
    return plain_path(joined)


def check_member(archive: str, member: tarfile.TarInfo, kinds: dict[str, bool], limits: Limits, total: int) -> None:
    """Refuse a member that no honest release has. ``kinds`` maps each path seen so far to whether it is a folder.

    A member that passes is put into ``kinds``, with the folders it lies in.
    """
    path = plain_path(member.name)
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise _refuse(archive, member.name, "is a device or another special file")
    if member.issparse():
        raise _refuse(archive, member.name, "is a sparse file")
    if member.isreg() and member.mode & 0o6000:
        raise _refuse(archive, member.name, "is setuid or setgid")
    if kinds.get(path, member.isdir()) != member.isdir() or (path in kinds and not member.isdir()):
        raise _refuse(archive, member.name, "is there twice")
    for parent in Path(path).parents:
        if kinds.get(parent.as_posix(), True) is False:
            raise _refuse(archive, member.name, f"lies below {parent.as_posix()}, which is not a folder")
    if len(kinds) >= limits.members:
        raise _refuse(archive, member.name, f"is one too many, the limit is {limits.members}")
    if total > limits.size:
        raise _refuse(archive, member.name, f"makes the archive grow beyond {limits.size} bytes")
    kinds[path] = member.isdir()
    kinds.update((parent.as_posix(), True) for parent in Path(path).parents)


def members(stream: BinaryIO, archive: str, limits: Limits = LIMITS) -> Iterator[Member]:
    """The files and links of a tar, plain or compressed, in order; ``archive`` is its name for messages.

    A member's stream must be read before the next is asked for. Links are checked to stay inside the archive and
    handed out with ``target`` set and no stream. Raises PreflightError for anything hostile, truncated or not a tar.
    """
    kinds: dict[str, bool] = {}
    total = 0
    try:
        with tarfile.open(fileobj=stream, mode="r|*", encoding="utf-8", errors="strict") as tar:
            for member in tar:
                if member.isdir() and member.name.strip("/") in ("", "."):
                    continue
                total += max(member.size, 0) if member.isreg() else 0
                check_member(archive, member, kinds, limits, total)
                path = plain_path(member.name)
                executable = bool(member.mode & 0o111)
                if member.isreg():
                    content = tar.extractfile(member)
                    assert content is not None  # noqa: S101 - it is for a regular file
                    yield Member(path, executable, member.size, Guarded(content, archive))
                elif not member.isdir():
                    yield Member(path, executable, 0, None, link_target(member))
    except DAMAGE as exc:
        raise broken(archive, exc) from exc


def write_file(stream: io.RawIOBase, path: Path, mode: int) -> None:
    """Write a stream to a new file with an exact mode. Raises OSError, FileExistsError when something is there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        for block in iter(lambda: stream.read(CHUNK), b""):
            target.write(block)
        os.fchmod(target.fileno(), mode)


def unpack_tree(archive: Path, root: Path) -> None:
    """Lay one of our own tars (see ``pack_tree``) out in the empty folder ``root``. A link in it is refused.

    Raises PreflightError for a tar that we did not make, OSError where it cannot be written.
    """
    with archive.open("rb") as stream:
        for member in members(stream, archive.name):
            if member.stream is None:
                raise _refuse(archive.name, member.path, "is a link")
            path = root / member.path
            _folders(path.parent, root)
            write_file(member.stream, path, 0o555 if member.executable else 0o444)
            os.utime(path, (0, 0))


def _folders(folder: Path, root: Path) -> None:
    """Make a folder below root and its parents, 0755 whatever the umask."""
    if folder == root or folder.is_dir():
        return
    _folders(folder.parent, root)
    folder.mkdir()
    folder.chmod(0o755)


def pack_tree(root: Path, entries: Iterable[Entry], out: BinaryIO) -> None:
    """Write a tree as a plain tar whose bytes depend on the tree alone: sorted, no times, no owners.

    Uncompressed on purpose: jars and static binaries hardly shrink, and compressing costs more than sending.
    """
    with contextlib.closing(tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT)) as tar:
        for entry in sorted(entries):
            info = tarfile.TarInfo(entry.path)
            info.size, info.mode = entry.size, entry.mode
            with (root / entry.path).open("rb") as stream:
                tar.addfile(info, stream)
