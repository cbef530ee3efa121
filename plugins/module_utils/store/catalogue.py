# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the catalogue, which pins what every artefact is made of and where it may come from.

``artifacts/<name>.yml`` is described in ``artifacts/README.md``. An entry is read strictly: a key that is not known
is an error, since a misspelt ``digest`` must not turn into no digest.
"""

from __future__ import annotations

import difflib
import platform
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from ..errors import InputError
from .sources import KINDS
from .sources.base import Source, Where
from .tree import plain_path

#: The catalogue of this collection, <collection>/artifacts; links are not resolved, an editable checkout is one.
FOLDER = Path(__file__).absolute().parents[3] / "artifacts"

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True)
class Artifact:
    """A catalogue entry for one version and architecture.

    ``sources`` are in order of preference; ``provides`` maps names that users look for to files or folders of the tree.
    """

    name: str
    version: str
    arch: str
    sources: tuple[Source, ...]
    summary: str = ""
    licence: str = ""
    provides: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """A name of the version for this architecture, fit for a file's."""
        return re.sub(r"[^A-Za-z0-9_.-]", "_", f"{self.name}-{self.version}-{self.arch}")


def folders(lab_folder: Path | None) -> tuple[Path, ...]:
    """Where entries are looked for: ``artifacts`` beside a lab's file, then the collection's catalogue."""
    return (lab_folder / "artifacts", FOLDER) if lab_folder else (FOLDER,)


def names(folders: tuple[Path, ...] = (FOLDER,)) -> list[str]:
    """The artefacts of the catalogue."""
    return sorted({path.stem for folder in folders for path in folder.glob("*.yml")})


def versions(name: str, folders: tuple[Path, ...] = (FOLDER,)) -> list[str]:
    """The versions of an artefact, its default first. Raises InputError as :func:`catalogue` does."""
    entries = _entries(name, folders)
    found = {version: None for _, entry in entries for version in entry["versions"]}
    return sorted(found, key=lambda version: version != entries[0][1]["default"])


def catalogue(
    name: str, version: str | None = None, *, folders: tuple[Path, ...] = (FOLDER,), arch: str = ""
) -> Artifact:
    """The catalogue's entry for an artefact; the default version without one, this machine's architecture without one.

    The first of the folders that has the version counts. Raises InputError for a name or a version that is not there,
    and for an entry that breaks the format.
    """
    entries = _entries(name, folders)
    wanted = version or entries[0][1]["default"]
    for file, entry in entries:
        if wanted in entry["versions"]:
            return _parsed(Where(file, name, wanted, arch or platform.machine(), entry["licence"]), entry)
    raise _unknown(f"version of {name}", wanted, versions(name, folders))


def _parsed(where: Where, entry: dict[str, Any]) -> Artifact:
    parsed = where.keys(
        entry["versions"][where.version], "the version", required={"sources"}, optional={"provides", "licence"}
    )
    where = replace(where, licence=where.string(parsed.get("licence", where.licence), "licence"))
    if not isinstance(parsed["sources"], list) or not parsed["sources"]:
        raise where.error("sources must be a list of at least one source")
    provides = where.mapping(parsed.get("provides", {}), "provides")
    return Artifact(
        name=where.name,
        version=where.version,
        arch=where.arch,
        sources=tuple(_source(item, where) for item in parsed["sources"]),
        summary=entry["summary"],
        licence=where.licence,
        provides={what: plain_path(path) for what, path in provides.items()},
    )


def _entries(name: str, folders: tuple[Path, ...]) -> list[tuple[Path, dict[str, Any]]]:
    """The files that have an entry of this name; at least one."""
    if name not in (known := names(folders)):
        raise _unknown("artefact", name, known)
    return [(file, _read(file)) for folder in folders if (file := folder / f"{name}.yml").is_file()]


def _read(file: Path) -> dict[str, Any]:
    """An entry's top level, when it is as it should be; its versions are not looked into."""
    name, where = file.stem, Where(file, file.stem)
    try:
        document = yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as exc:
        raise where.error(f"not readable: {exc}") from exc
    entry = where.keys(document, "the file", required={"name", "summary", "licence", "default", "versions"})
    for key in ("name", "summary", "licence", "default"):
        where.string(entry[key], key)
    if entry["name"] != name or not _NAME.fullmatch(name):
        raise where.error(f"name must be that of the file, in lower case: {name}")
    if not isinstance(entry["versions"], dict) or not all(isinstance(one, str) for one in entry["versions"]):
        raise where.error("versions must be a mapping whose keys are strings; put them into quotes")
    if entry["default"] not in entry["versions"]:
        raise where.error(f"default {entry['default']!r} is not one of the versions")
    return entry


def _source(item: Any, where: Where) -> Source:
    if not isinstance(item, dict) or len(item) != 1 or (kind := next(iter(item))) not in KINDS:
        raise where.error(f"a source is a mapping with one key, one of {', '.join(KINDS)}")
    return KINDS[kind].parse(item[kind], where)


def _unknown(kind: str, wanted: str, known: list[str]) -> InputError:
    nearest = difflib.get_close_matches(wanted, known, n=1)
    hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
    return InputError(
        f"no {kind} {wanted!r} in the catalogue", hint=f"{hint}There is: {', '.join(known) or 'nothing'}."
    )
