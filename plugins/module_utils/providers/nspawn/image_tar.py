# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: an image's folder as one tar, whose bytes depend on what is in the folder alone.

The sha256 of this tar is the image's name. GNU tar does the work: links, owners, capabilities and times are its trade.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ...errors import PreflightError, ProviderError
from ...store.tree import CHUNK
from ..command import environment, find

_COMMON = ("--numeric-owner", "--xattrs", "--xattrs-include=*", "--file=-")


@contextmanager
def stream(root: Path) -> Iterator[BinaryIO]:
    """The tar of a folder, to be read to its end. Raises ProviderError where tar fails."""
    argv = [
        find("tar") or "tar", "--create", "--sort=name", "--format=posix",
        "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime", *_COMMON, f"--directory={root}", ".",
    ]  # fmt: skip
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment()) as tar:
        assert tar.stdout is not None  # noqa: S101 - for the type checker; a pipe was asked for
        yield tar.stdout  # type: ignore[misc]
    if tar.returncode != 0:
        raise ProviderError(f"the image {root} cannot be read: tar ended with {tar.returncode}")


def name_of(root: Path) -> tuple[str, int]:
    """The sha256 in hex and the bytes of a folder's tar, which is written nowhere. Raises ProviderError."""
    digest, size = hashlib.sha256(), 0
    with stream(root) as tar:
        while block := tar.read(CHUNK):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size


def unpack(archive: Path, root: Path, sha256: str) -> None:
    """Lay an image's tar out in the new folder ``root``. PreflightError where it is not the one of this digest.

    The bytes are hashed as tar gets them, so that nobody can change them between being checked and being used.
    """
    root.mkdir(mode=0o755)
    root.chmod(0o755)
    argv = [
        find("tar") or "tar", "--extract", "--same-owner", "--preserve-permissions", "--keep-directory-symlink",
        *_COMMON, f"--directory={root}",
    ]  # fmt: skip
    digest = hashlib.sha256()
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment()
    ) as tar:
        assert tar.stdin is not None and tar.stderr is not None  # noqa: S101 - for the type checker
        try:
            with archive.open("rb") as stream, tar.stdin:
                while block := stream.read(CHUNK):
                    digest.update(block)
                    tar.stdin.write(block)
        except BrokenPipeError:
            pass  # tar says why
        said = tar.stderr.read().decode(errors="replace").strip().splitlines()
    if digest.hexdigest() != sha256:
        raise PreflightError(
            f"{archive} was damaged: it is not the image sha256:{sha256}",
            hint="remove it, and import the bundle it came in again, or let labctl build the image anew",
        )
    if tar.returncode != 0:
        raise ProviderError(f"the image cannot be unpacked: {said[-1] if said else f'exit code {tar.returncode}'}")
