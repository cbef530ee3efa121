# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing a bundle: the same content gives the same bytes, and the file gets its name when it is whole."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from ansible_collections.labctl.stacks.plugins.module_utils.errors import PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.paths import chown_to_caller

from labctl.lab.bundle.index import NAME, SIGNATURE, Index, Member

#: Most of a bundle is compressed already; above this level time is spent and little gained.
LEVEL = 6

#: Told how many bytes are written, and of how many.
Bytes = Callable[[int, int], None]
#: Opens a member's content.
Opener = Callable[[], AbstractContextManager[BinaryIO]]


class _Checked(io.RawIOBase):
    """A member's content on its way into the bundle; counts and hashes it."""

    def __init__(self, stream: BinaryIO, tell: Callable[[int], None]) -> None:
        super().__init__()
        self._stream, self._tell = stream, tell
        self.hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        block = self._stream.read(size)
        self.hash.update(block)
        self._tell(len(block))
        return block


def write(
    target: Path, index: Index, opened: dict[str, Opener], *, sign: Callable[[bytes], bytes] | None, progress: Bytes
) -> bytes:
    """Write a bundle of the members that ``opened`` maps to their content; the index as written.

    PreflightError where a member is not what the index says, or the disk is full; ``target`` is then as it was.
    """
    import zstandard

    raw = index.dump()
    total, done = sum(member.size for member in index.members), 0

    def tell(size: int) -> None:
        nonlocal done
        done += size
        if size:
            progress(done, total)

    # With one worker or with many zstd gives the same bytes, without any it gives others.
    compressor = zstandard.ZstdCompressor(
        level=LEVEL, threads=max(1, os.cpu_count() or 1), write_checksum=True, write_content_size=False
    )
    draft = target.with_name(f".{target.name}.part")
    try:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(draft.open("wb"))
            stream = stack.enter_context(compressor.stream_writer(file, closefd=False))
            tar = stack.enter_context(tarfile.open(fileobj=stream, mode="w|", format=tarfile.USTAR_FORMAT))
            _add(tar, NAME, raw)
            if sign:
                _add(tar, SIGNATURE, sign(raw))
            for member in index.members:
                with opened[member.path]() as content:
                    _copy(tar, member, content, tell)
            stack.pop_all().close()
        with draft.open("rb") as whole:
            os.fsync(whole.fileno())
        chown_to_caller(draft)
        draft.replace(target)
    except OSError as exc:
        raise PreflightError(
            f"{target} cannot be written: {exc.strerror or exc}", hint="Is there room on that disk, and may you write?"
        ) from exc
    finally:
        draft.unlink(missing_ok=True)
    return raw


def _header(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    tar.addfile(_header(name, len(content)), io.BytesIO(content))


def _copy(tar: tarfile.TarFile, member: Member, content: BinaryIO, tell: Callable[[int], None]) -> None:
    checked = _Checked(content, tell)
    try:
        tar.addfile(_header(member.path, member.size), checked)
    except (tarfile.TarError, ValueError) as exc:
        raise PreflightError(f"{member.path} cannot go into a bundle: {exc}") from exc
    if checked.hash.hexdigest() != member.sha256 or checked.read(1):
        raise PreflightError(
            f"{member.path} changed while it was packed, or is damaged on disk", hint="run the same command again"
        )


def member_of(path: str, file: Path) -> Member:
    """A file as a member under ``path``. Raises OSError."""
    hashed, size = hashlib.sha256(), 0
    with file.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            hashed.update(block)
            size += len(block)
    return Member(path, size, hashed.hexdigest())


def unique(members: Iterable[Member]) -> tuple[Member, ...]:
    """Members without repeats, in the order of a bundle: wheels, the lab, blobs."""
    order = {"wheels": 0, "lab": 1}
    return tuple(sorted(set(members), key=lambda member: (order.get(member.path.split("/")[0], 2), member.path)))
