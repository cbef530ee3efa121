# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: Debian packages as files, and the index that makes a folder of them a repository.

Formats: deb(5), deb-control(5), and Debian's repository format ("Flat Repository Format").
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..errors import PreflightError
from .tree import Entry

#: Architectures as uname names them -> as Debian does.
ARCHES = {"x86_64": "amd64", "aarch64": "arm64"}
#: The index of a flat repository, as apt looks for it.
INDEX = "Packages"

_NAME = re.compile(r"([a-z0-9][a-z0-9+.-]+)_([A-Za-z0-9.+~%-]+)_([a-z0-9]+)\.deb")


class Deb(NamedTuple):
    """A package's name, its version with the epoch, and its architecture (``all`` for any)."""

    name: str
    version: str
    arch: str

    @property
    def purl(self) -> str:
        """The package URL. Source: purl-spec, type deb."""
        version = self.version.replace("%", "%25").replace(":", "%3A").replace("+", "%2B")
        return f"pkg:deb/debian/{self.name.replace('+', '%2B')}@{version}?arch={self.arch}"


def parsed(filename: str) -> Deb | None:
    """What apt's name for a package's file says, a colon being ``%3a`` there; None for any other name."""
    match = _NAME.fullmatch(filename)
    return Deb(match[1], re.sub("%3a", ":", match[2], flags=re.IGNORECASE), match[3]) if match else None


def members(path: Path) -> Iterable[tuple[str, int, bytes]]:
    """Name, time of change and content of a package's members up to the control archive. Raises PreflightError."""
    try:
        with path.open("rb") as stream:
            if stream.read(8) != b"!<arch>\n":
                raise ValueError("it is no ar archive")
            while len(head := stream.read(60)) == 60 and head.endswith(b"`\n"):
                name, size = head[:16].decode("ascii").strip().rstrip("/"), int(head[48:58])
                if name.startswith("data.tar") or size > 1 << 26:
                    return
                yield name, int(head[16:28]), stream.read(size)
                stream.read(size % 2)
    except (ValueError, UnicodeError) as exc:
        raise PreflightError(f"{path.name} is not a Debian package: {exc}") from exc


def stanza(path: Path) -> tuple[str, int]:
    """A package's control file without empty lines around it, and when the package was made (seconds since 1970)."""
    made = 0
    for name, time, content in members(path):
        made = max(made, time)
        if name.startswith("control.tar"):
            try:
                with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                    for member in archive:
                        if member.name.lstrip("./") == "control" and (stream := archive.extractfile(member)):
                            return stream.read().decode().strip(), made
            except (tarfile.TarError, EOFError, OSError, UnicodeError) as exc:
                raise PreflightError(f"{path.name} is not a Debian package: {name}: {exc}") from exc
    raise PreflightError(f"{path.name} is not a Debian package: it has no control file")


def index(debs: Iterable[tuple[Entry, Path]]) -> tuple[str, int]:
    """The index over packages' entries, each with its file; and when the youngest package was made.

    The same packages give the same text, whenever and wherever. Raises PreflightError for what is no package.
    """
    stanzas, youngest = [], 0
    for entry, path in sorted(debs):
        text, made = stanza(path)
        stanzas.append(f"{text}\nFilename: ./{entry.path}\nSize: {entry.size}\nSHA256: {entry.sha256}\n")
        youngest = max(youngest, made)
    return "\n".join(stanzas), youngest
