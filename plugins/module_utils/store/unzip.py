# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: zips read without trusting them, under the same rules as tars."""

from __future__ import annotations

import stat
import tarfile
import zipfile
from collections.abc import Iterator
from typing import BinaryIO

from .unpack import DAMAGE, LIMITS, Guarded, Limits, Member, broken, check_member, link_target, members

#: NotImplementedError is an unknown compression, RuntimeError an encrypted member.
_DAMAGE = (*DAMAGE, zipfile.BadZipFile, NotImplementedError, RuntimeError)
_LONGEST_LINK = 4096
_TYPES = {
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFREG: tarfile.REGTYPE,
    0: tarfile.REGTYPE,
}


def archive_members(stream: BinaryIO, archive: str, limits: Limits = LIMITS) -> Iterator[Member]:
    """The files and links of a zip or a tar, told apart by their content; see :func:`unpack.members`."""
    start = stream.read(4)
    stream.seek(0)
    return (zip_members if start in (b"PK\x03\x04", b"PK\x05\x06") else members)(stream, archive, limits)


def zip_members(stream: BinaryIO, archive: str, limits: Limits = LIMITS) -> Iterator[Member]:
    """The files and links of a zip, in the order of its directory. Raises PreflightError as for a tar."""
    kinds: dict[str, bool] = {}
    total = 0
    try:
        with zipfile.ZipFile(stream) as whole:
            for info in whole.infolist():
                member = _as_tar(info)
                total += info.file_size
                check_member(archive, member, kinds, limits, total)
                if member.isdir():
                    continue
                if member.issym():
                    if info.file_size > _LONGEST_LINK:
                        raise ValueError(f"link {info.filename!r} of {info.file_size} bytes")
                    member.linkname = whole.read(info).decode()
                    yield Member(member.name, False, 0, None, link_target(member))
                    continue
                with whole.open(info) as content:
                    yield Member(
                        member.name,
                        bool(member.mode & 0o111),
                        info.file_size,
                        Guarded(content, archive, _DAMAGE, "zip"),
                    )
    except _DAMAGE as exc:
        raise broken(archive, exc, "zip") from exc


def _as_tar(info: zipfile.ZipInfo) -> tarfile.TarInfo:
    """A zip's member as the checks know them. What the directory says of a special file counts as a device."""
    mode = info.external_attr >> 16
    member = tarfile.TarInfo(info.filename)
    member.type = tarfile.DIRTYPE if info.is_dir() else _TYPES.get(stat.S_IFMT(mode), tarfile.CHRTYPE)
    member.mode, member.size = stat.S_IMODE(mode), info.file_size
    return member
