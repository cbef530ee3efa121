# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: a layer of a container image from Debian packages, as far as programs need them.

Packages are unpacked, not installed: their scripts do not run, so no root is needed, and the same packages give the
same bytes. What a script would have done for programs (alternatives, mostly) the catalogue's entry says as links.
Without documentation, translations and package management a layer is a fifth of the packages installed.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from ..errors import PreflightError
from .oci import Layer
from .tree import plain_path

#: Not needed by any program in a container.
OMITTED = (
    *("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian"),
    *("usr/share/bash-completion", "usr/share/bug", "usr/share/menu", "usr/share/perl5", "usr/share/common-licenses"),
    *("etc/init.d", "etc/default", "lib/systemd", "usr/lib/systemd", "usr/share/polkit-1"),
)
#: Conversions between character sets, megabytes of them.
_GCONV = re.compile(r"usr/lib/[^/]+/gconv(/.*)?")
#: Debian's top level is links since 13; packages may still name files below them.
MERGED = ("bin", "sbin", "lib", "lib64")


def closure(index: str, wanted: Iterable[str]) -> list[str]:
    """File names of packages and all they depend on, from a flat repository's ``Packages``, sorted.

    Of alternatives the first that is there is taken. Raises PreflightError for one that is not there.
    """
    packages: dict[str, dict[str, str]] = {}
    for text in re.split(r"\n\s*\n", index.strip()):
        fields = dict(re.findall(r"^([A-Za-z0-9-]+):[ \t]*(.*(?:\n[ \t].*)*)", text, re.MULTILINE))
        for name in [fields.get("Package", ""), *_names(fields.get("Provides", ""))]:
            packages.setdefault(name, fields)
        packages[fields.get("Package", "")] = fields
    found: dict[str, str] = {}
    waiting = [(name, "the image") for name in wanted]
    while waiting:
        text, needed_by = waiting.pop()
        options = [re.split(r"[\s:(\[]", option.strip(), maxsplit=1)[0] for option in text.split("|")]
        chosen = next((packages[name] for name in options if name in packages), None)
        if chosen is None:
            raise PreflightError(f"{needed_by} needs {text.strip()}, which is not among the Debian packages")
        name = chosen["Package"]
        if name not in found:
            found[name] = chosen["Filename"].removeprefix("./")
            for field in ("Pre-Depends", "Depends"):
                waiting += [(one, name) for one in chosen.get(field, "").split(",") if one.strip()]
    return sorted(found.values())


def _names(field: str) -> list[str]:
    return [re.split(r"[\s:(]", one.strip(), maxsplit=1)[0] for one in field.split(",") if one.strip()]


def unpack(debs: Iterable[Path], layer: Layer, work: Path) -> None:
    """Put the files of packages into a layer; ``work`` is an empty folder that must last until the layer is written.

    Raises PreflightError for what is no package, or has what no layer of ours does (devices).
    """
    for name in MERGED:
        layer.folder(f"usr/{name}")
        layer.link(name, f"usr/{name}")
    for number, deb in enumerate(sorted(debs, key=lambda path: path.name)):
        folder = work / str(number)
        folder.mkdir()
        try:
            with _data(deb) as archive:
                _add(archive, layer, folder, deb.name)
        except (tarfile.TarError, EOFError, OSError, ValueError, UnicodeError) as exc:
            raise PreflightError(f"{deb.name} is not a whole Debian package: {exc}") from exc


def _data(deb: Path) -> tarfile.TarFile:
    """The tar of a package's files. Format: deb(5), ar(5)."""
    stream = deb.open("rb")
    if stream.read(8) != b"!<arch>\n":
        raise ValueError("it is no ar archive")
    while len(head := stream.read(60)) == 60:
        name, size = head[:16].decode("ascii").strip().rstrip("/"), int(head[48:58])
        if name.startswith("data.tar"):
            if name.endswith(".zst"):
                raise ValueError("it is compressed by zstd, as Debian's are not")
            return tarfile.open(fileobj=stream, mode="r|*", encoding="utf-8", errors="strict")
        stream.seek(size + size % 2, 1)
    raise ValueError("it has no files")


def _add(archive: tarfile.TarFile, layer: Layer, folder: Path, name: str) -> None:
    for number, (path, member) in enumerate(_members(archive)):
        if member.isdir():
            layer.folder(path, member.mode & 0o1777)
        elif member.issym():
            layer.link(path, member.linkname)
        elif member.islnk():
            target = _merged(plain_path(member.linkname))
            if target not in layer.nodes:
                raise PreflightError(f"{name}: {path} is a link to {target}, which is not there")
            layer.put(path, layer.nodes[target])
        elif member.isreg():
            content = archive.extractfile(member)
            copy = folder / str(number)
            _copy(content, copy)
            layer.file(path, copy, member.mode)
        else:
            raise PreflightError(f"{name}: {path} is a device or another special file")


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, tarfile.TarInfo]]:
    for member in archive:
        if member.name.strip("/") in ("", "."):
            continue
        path = _merged(plain_path(member.name))
        omitted = any(path == one or path.startswith(f"{one}/") for one in OMITTED) or _GCONV.fullmatch(path)
        if not omitted and path not in MERGED:
            yield path, member


def _merged(path: str) -> str:
    """Where a path lies once its first folder is a link into usr."""
    return f"usr/{path}" if path.split("/", 1)[0] in MERGED and "/" in path else path


def _copy(stream: IO[bytes] | None, target: Path) -> None:
    with target.open("wb") as out:
        while stream and (block := stream.read(1 << 20)):
            out.write(block)
