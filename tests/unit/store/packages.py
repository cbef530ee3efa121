# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian packages that hold nothing but a control file."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path


def make_deb(folder: Path, name: str, version: str = "1.0-1", arch: str = "amd64", *, made: int = 1000) -> Path:
    """A package named as apt names it, in ``folder``."""
    control = f"Package: {name}\nVersion: {version}\nArchitecture: {arch}\nDescription: a double\n".encode()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:xz") as tar:
        info = tarfile.TarInfo("./control")
        info.size = len(control)
        tar.addfile(info, io.BytesIO(control))
    path = folder / f"{name}_{version.replace(':', '%3a')}_{arch}.deb"
    members = (("debian-binary", b"2.0\n"), ("control.tar.xz", archive.getvalue()), ("data.tar.xz", b"none"))
    with path.open("wb") as stream:
        stream.write(b"!<arch>\n")
        for member, content in members:
            stream.write(f"{member:<16}{made:<12}0     0     100644  {len(content):<10}`\n".encode())
            stream.write(content + b"\n" * (len(content) % 2))
    return path
