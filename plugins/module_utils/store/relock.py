# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: writes the lock of a catalogue entry anew, for whoever maintains the catalogue.

    python -m ansible_collections.labctl.stacks.plugins.module_utils.store.relock hadoop [VERSION]

Jars: the roots are resolved by ``mvn`` with all they depend on at run time, exclusions apply, and the result is refused
when a class of one jar is defined differently by another: which of them ``lib/*`` would load is chance. Go modules: see
``relock_go``.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
import tempfile
import zipfile
from collections import defaultdict
from pathlib import Path

from ..errors import LabError, PreflightError
from ..paths import cache_dir, make_dir
from . import relock_go
from .catalogue import catalogue
from .jars import Jar
from .maven import copy_jars, pom
from .sources.golang import GoSource
from .sources.maven import MavenSource
from .tree import sha256_file

HEADER = """\
# Every jar of {name} {version}: sha256, group:artifact:version[:classifier], bytes. Written by relock; do not edit.
"""


def resolve(source: MavenSource, work: Path) -> dict[str, tuple[Jar, Path]]:
    """Coordinate to jar (with digest and size) and file, for the roots' closure and the single jars."""
    found: dict[str, tuple[Jar, Path]] = {}
    for label, roots, alone in (("closure", source.roots, False), ("single", source.single, True)):
        if not roots:
            continue
        folder = work / label
        folder.mkdir()
        wanted = [_root(root) for root in roots]
        out = copy_jars(pom(wanted, alone=alone), source.plugin, folder, layout=True, strict=True)
        for path in sorted(out.rglob("*.jar")):
            jar = _jar(path, out)
            names = (f"{jar.group}:{jar.artifact}", f"{jar.group}:{jar.artifact}:{jar.classifier}")
            if not any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in source.exclude):
                found[jar.coordinate] = (jar, path)
    return found


def _root(coordinate: str) -> Jar:
    group, artifact, version = coordinate.split(":", 2)
    return Jar(group, artifact, version, "", "", 0)


def _jar(path: Path, root: Path) -> Jar:
    *group, artifact, version, filename = path.relative_to(root).parts
    classifier = filename.removesuffix(".jar").removeprefix(f"{artifact}-{version}").removeprefix("-")
    return Jar(".".join(group), artifact, version, classifier, sha256_file(path), path.stat().st_size)


def clashes(jars: list[tuple[Jar, Path]]) -> dict[tuple[str, ...], int]:
    """Sets of jars that define the same class with different bytes, with how many such classes they have."""
    where: dict[str, dict[str, int]] = defaultdict(dict)
    for jar, path in jars:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                # module-info and package-info are not loaded by name; META-INF/versions belongs to its own jar.
                if (
                    info.filename.endswith(".class")
                    and not info.filename.startswith("META-INF/")
                    and "-info." not in info.filename
                ):
                    where[info.filename][jar.coordinate] = info.CRC
    found: dict[tuple[str, ...], int] = defaultdict(int)
    for owners in where.values():
        if len(set(owners.values())) > 1:
            found[tuple(sorted(owners))] += 1
    return found


def relock(name: str, version: str | None = None, arch: str = "", *, outputs: bool = False) -> Path:
    """Write the lock of the entry's source that has one; its path. Raises PreflightError where it cannot be made.

    ``arch`` and ``outputs`` are for Go: which architecture to pin programs for, and to leave the modules as they are.
    """
    artifact = catalogue(name, version, arch=arch)
    for source in artifact.sources:
        if isinstance(source, MavenSource):
            return relock_jars(source)
        if isinstance(source, GoSource):
            cache = make_dir(cache_dir() / "go")
            with tempfile.TemporaryDirectory(prefix="labctl-relock-") as work:
                return relock_go.relock(source, cache, Path(work), outputs=outputs)
    raise PreflightError(f"{name} {artifact.version} has no source with a lock")


def relock_jars(source: MavenSource) -> Path:
    """Write a jar lock; its path. Raises PreflightError for clashing jars."""
    with tempfile.TemporaryDirectory(prefix="labctl-relock-") as work:
        found = resolve(source, Path(work))
        if clashing := clashes([item for item in found.values() if source.path_of(item[0]).startswith("lib/")]):
            lines = [f"  {count} classes: {', '.join(jars)}" for jars, count in sorted(clashing.items())]
            raise PreflightError(
                "\n".join(["jars that define the same classes differently:", *lines]),
                hint="Exclude all but one of each in the catalogue.",
            )
        lines = [f"{jar.sha256} {jar.coordinate} {jar.size}\n" for _, (jar, _) in sorted(found.items())]
    source.lock.write_text(HEADER.format(name=source.where.name, version=source.where.version) + "".join(lines))
    return source.lock


def main() -> int:
    """Command line of the module."""
    parser = argparse.ArgumentParser(prog="relock", description="Write the lock of a catalogue entry anew.")
    parser.add_argument("name")
    parser.add_argument("version", nargs="?")
    parser.add_argument("--arch", default="", help="Go: the architecture to pin programs for (this machine's)")
    parser.add_argument("--outputs", action="store_true", help="Go: build from the lock as it is, and pin what comes")
    options = parser.parse_args()
    try:
        sys.stdout.write(f"{relock(options.name, options.version, options.arch, outputs=options.outputs)}\n")
    except LabError as exc:
        sys.stderr.write(f"error: {exc.report}\n{exc.hint and f'hint: {exc.hint}'}\n")
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
