# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a bundle without trusting it: its index first, then only what the index lists, byte for byte.

The tar is read by hand rather than by tarfile, which would follow extended headers, links and sparse files; a bundle
has none. Whatever the compressed bytes say, no more is unpacked than the index announces.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError
from ansible_collections.labctl.stacks.plugins.module_utils.store.tree import CHUNK

from labctl.lab.bundle.index import MAX_INDEX, NAME, SIGNATURE, Index, Member, parse, refused

_MAGIC = b"\x28\xb5\x2f\xfd"
_BLOCK = tarfile.BLOCKSIZE
#: What zstd may ask of memory; our own bundles take a fraction of it.
_WINDOW = 1 << 27


class Reader:
    """A bundle that is open. ``raw`` is its index as it stands there, ``signature`` that over it, if there is one."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._next: tarfile.TarInfo | None = self._header()
        self.raw = self._small(NAME, MAX_INDEX)
        self.signature = self._small(SIGNATURE, 64) if self._next and self._next.name == SIGNATURE else None

    def _small(self, name: str, most: int) -> bytes:
        info = self._next
        if info is None or info.name != name or info.size > most:
            raise refused("it does not begin with its index", "Was it made by labctl bundle export?")
        content = b"".join(self._content(info.size))
        self._next = self._header()
        return content

    def index(self) -> Index:
        """The index, checked for sense; whether it is to be trusted is for the caller to find out first."""
        return parse(self.raw)

    def members(self, wanted: tuple[Member, ...]) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Each member with its blocks, which must be read to their end before the next. InputError for any other."""
        for member in wanted:
            info = self._next
            if info is None:
                raise refused(f"it ends before {member.path}")
            if (info.name, info.size) != (member.path, member.size):
                raise refused(f"it has {info.name!r} where its index has {member.path}")
            yield member, self._verified(member)
            self._next = self._header()
        if self._next is not None:
            raise refused(f"it has {self._next.name!r}, which its index does not list")

    def _verified(self, member: Member) -> Iterator[bytes]:
        hashed = hashlib.sha256()
        for block in self._content(member.size):
            hashed.update(block)
            yield block
        if hashed.hexdigest() != member.sha256:
            raise refused(f"{member.path} has sha256 {hashed.hexdigest()} instead of {member.sha256}")

    def _header(self) -> tarfile.TarInfo | None:
        """The next member's header; None at the end."""
        block = self._exactly(_BLOCK)
        if block == bytes(_BLOCK):
            return None
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, ValueError) as exc:
            raise refused("it is not a tar") from exc
        if info.type != tarfile.REGTYPE or info.mode & ~0o777 or info.linkname:
            raise refused(f"{info.name!r} is not a plain file")
        return info

    def _content(self, size: int) -> Iterator[bytes]:
        left = size
        while left:
            block = self._exactly(min(left, CHUNK))
            left -= len(block)
            yield block
        self._exactly(-size % _BLOCK)

    def _exactly(self, size: int) -> bytes:
        parts, left = [], size
        while left:
            part = self._stream.read(left)
            if not part:
                raise refused("it ends early", "It was not copied whole: copy it again.")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)


class _Zstd(io.RawIOBase):
    """Decompressed bytes; what is wrong with them comes as an InputError."""

    def __init__(self, file: BinaryIO, tell: Callable[[int], None]) -> None:
        import zstandard

        super().__init__()
        self._file, self._tell, self._error = file, tell, zstandard.ZstdError
        self._stream = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(file, closefd=False)

    def read(self, size: int = -1) -> bytes:
        try:
            block = bytes(self._stream.read(size))
        except self._error as exc:
            raise refused(f"it is damaged ({exc})") from exc
        self._tell(self._file.tell())
        return block


@contextmanager
def opened(path: Path, progress: Callable[[int, int], None]) -> Iterator[Reader]:
    """A bundle's file, its index read. ``progress`` is told bytes of the file read and in all.

    InputError where it cannot be read, and for what is no bundle.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise refused(f"{path} is not a file that zstd has compressed", "Was it made by labctl bundle export?")
            total = file.seek(0, io.SEEK_END)
            file.seek(0)
            yield Reader(_Zstd(file, lambda done: progress(done, total)))  # type: ignore[arg-type]
    except OSError as exc:
        if exc.filename != str(path):
            raise
        raise InputError(f"the bundle {path} cannot be read: {exc.strerror}") from exc
