# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: jars by their Maven coordinates, and the lock that pins a set of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

_LOCK_LINE = re.compile(r"[0-9a-f]{64} [A-Za-z0-9_.-]+(:[A-Za-z0-9_.+-]+){2,3} [0-9]{1,12}")


@dataclass(frozen=True)
class Jar:
    """A line of a jar lock: Maven coordinates (classifier may be empty), and the file they must give."""

    group: str
    artifact: str
    version: str
    classifier: str
    sha256: str
    size: int
    extension: str = "jar"

    @property
    def coordinate(self) -> str:
        """``group:artifact:version[:classifier]``."""
        return ":".join(filter(None, (self.group, self.artifact, self.version, self.classifier)))

    @property
    def filename(self) -> str:
        """``artifact-version[-classifier].jar``, as every Maven repository names it."""
        return "-".join(filter(None, (self.artifact, self.version, self.classifier))) + f".{self.extension}"


def read_lock(path: Path) -> tuple[Jar, ...]:
    """The jars of a lock: ``<sha256> <group:artifact:version[:classifier]> <bytes>`` a line, ``#`` begins a comment.

    Raises InputError for a line of another form, and for two lines that would be the same file or another version
    of the same jar, since both would then stand on one class path.
    """
    jars: list[Jar] = []
    seen: dict[str, str] = {}
    try:
        lines = path.read_text().splitlines()
    except OSError as exc:
        raise InputError(f"{path}: not readable: {exc}") from exc
    for number, line in enumerate(lines, 1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if not _LOCK_LINE.fullmatch(" ".join(words)):
            raise InputError(f"{path}:{number}: not `<sha256> <group:artifact:version[:classifier]> <bytes>`")
        group, artifact, version, *classifier = words[1].split(":")
        jar = Jar(group, artifact, version, "".join(classifier), words[0], int(words[2]))
        for key in (jar.filename, f"{group}:{artifact}:{jar.classifier}"):
            if key in seen:
                raise InputError(f"{path}:{number}: {jar.coordinate} and {seen[key]} cannot both be on a class path")
            seen[key] = jar.coordinate
        jars.append(jar)
    return tuple(jars)
